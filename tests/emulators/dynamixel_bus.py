"""A bus of Dynamixel X-series servos, protocol 2.0, on a pty; see serial_bus.py to make it fail.

Packets are `FF FF FD 00 id length instruction parameters... crc`, with `FD` doubled where a header
would stand in them; replies are instruction 0x55 with an error byte before the parameters. The bus
watchdog, hardware errors and their end by a reboot, and refused writes are as in the e-manual.
"""

import time

from serial_bus import Bus, main

PING, READ, WRITE, REBOOT, STATUS, SYNC_READ, SYNC_WRITE = 1, 2, 3, 8, 0x55, 0x82, 0x83
BROADCAST = 0xFE
HEADER = b"\xff\xff\xfd"
ALERT, RANGE, LIMIT, ACCESS = 0x80, 4, 6, 7
VOLTAGE, OVERLOAD = 0x01, 0x20
TRIPPED = 0xFF
EEPROM_END = 64
REBOOT_SECONDS = 0.3


class DynamixelBus(Bus):
    def __init__(self, link, servos):
        super().__init__(link, servos)
        self.memory, self.heard, self.asleep, self.renamed = {}, {}, {}, {}
        for servo in servos:
            table = self.memory[servo.number] = bytearray(256)
            table[0:2] = (1020).to_bytes(2, "little")
            table[8] = 3  # 1 Mbit/s
            table[7], table[11], table[32:34] = servo.number, 3, (65).to_bytes(2, "little")
            table[48:52] = (4095).to_bytes(4, "little")
            self.heard[servo.number] = self.asleep[servo.number] = 0.0
            servo.volts = 12.0
            self.power_on(servo)

    def power_on(self, servo):
        table = self.memory[servo.number]
        table[EEPROM_END:] = bytes(len(table) - EEPROM_END)
        servo.torque = servo.overloaded = False
        self.settings(servo)

    def advance(self):
        super().advance()
        for number, servo in self.servos.items():
            table = self.memory[number]
            if servo.overloaded:
                table[70] |= OVERLOAD
            if servo.volts < 9.5:
                table[70] |= VOLTAGE
            if table[70]:
                servo.torque = False
            limit = table[98] * 0.02
            silent = self.now - self.heard[number]
            if servo.torque and table[98] not in (0, TRIPPED) and silent > limit:
                table[98] = TRIPPED
                servo.goal = servo.position

    def packets(self):
        while True:
            start = self.received.find(HEADER + b"\x00")
            if start < 0 or len(self.received) < start + 7:
                return
            del self.received[:start]
            size = int.from_bytes(self.received[5:7], "little") + 7
            if len(self.received) < size:
                return
            packet = bytes(self.received[:size])
            del self.received[:size]
            if crc(packet[:-2]) == int.from_bytes(packet[-2:], "little"):
                body = packet[7:-2].replace(HEADER + b"\xfd", HEADER)
                yield packet[4], body[0], body[1:]

    def answer(self, number, instruction, parameters):
        for one in self.servos:
            if self.there(one) and (number in (one, BROADCAST)):
                self.heard[one] = time.monotonic()
        if instruction == SYNC_WRITE:
            address, length = words(parameters[:4])
            for at in range(4, len(parameters), length + 1):
                self.write(parameters[at], address, parameters[at + 1 : at + 1 + length])
        elif instruction == SYNC_READ:
            address, length = words(parameters[:4])
            for one in parameters[4:]:
                if self.there(one):
                    yield self.reply(one, self.read(one, address, length))
        elif number == BROADCAST and instruction == PING:
            for one in list(self.servos):
                if self.there(one):
                    yield self.obey(one, PING, b"")
        elif self.there(number):
            yield self.obey(number, instruction, parameters)

    def obey(self, number, instruction, parameters):
        if instruction == READ:
            return self.reply(number, self.read(number, *words(parameters)))
        if instruction == WRITE:
            address = int.from_bytes(parameters[:2], "little")
            error = self.write(number, address, parameters[2:])
            return self.reply(self.renamed.pop(number, number), b"", error)
        reply = self.reply(number, bytes(self.memory[number][0:2]) + b"\x2d")
        if instruction == REBOOT:
            reply = self.reply(number, b"")
            self.asleep[number] = time.monotonic() + REBOOT_SECONDS
            self.power_on(self.servos[number])
        return reply

    def there(self, number):
        known = number in self.servos and not self.servos[number].gone
        return known and time.monotonic() >= self.asleep[number]

    def reply(self, number, data, error=0):
        error |= ALERT if self.memory[number][70] else 0
        body = (bytes([STATUS, error]) + data).replace(HEADER, HEADER + b"\xfd")
        packet = HEADER + bytes([0, number]) + (len(body) + 2).to_bytes(2, "little") + body
        return packet + crc(packet).to_bytes(2, "little")

    def read(self, number, address, length):
        servo, table = self.servos[number], self.memory[number]
        table[64] = servo.torque
        load = max(-500, min(500, round(servo.goal - servo.position))) if servo.torque else 0
        table[126:128] = load.to_bytes(2, "little", signed=True)
        speed = round(servo.velocity * 60 / 4096 / 0.229)
        table[128:132] = speed.to_bytes(4, "little", signed=True)
        table[132:136] = self.position(servo).to_bytes(4, "little", signed=True)
        table[144:146] = round(servo.volts * 10).to_bytes(2, "little")
        return bytes(table[address : address + length])

    def position(self, servo):
        """Return the tick that it shows: the encoder's and the homing offset."""
        table = self.memory[servo.number]
        offset = int.from_bytes(table[20:24], "little", signed=True)
        if table[11] in (4, 5) and servo.frozen is None:  # they count turns
            return round(servo.position) + offset
        return servo.shown + max(-1024, min(1024, offset))

    def changed(self, reply, others=0, cut=0):
        body = reply[7 : len(reply) - 2 - cut]
        packet = HEADER + bytes([0, reply[4] + others]) + (len(body) + 2).to_bytes(2, "little")
        packet += body
        return packet + crc(packet).to_bytes(2, "little")

    def write(self, number, address, data):
        """Write, and return the error number with which the motor refuses it."""
        if not self.there(number):
            return 0
        error = self.refusal(number, address, data)
        if not error:
            servo, table = self.servos[number], self.memory[number]
            if address == 116:
                goal = int.from_bytes(data, "little", signed=True)
                servo.goal = servo.position + goal - self.position(servo)
            if address == 64:
                if data[0] and not servo.torque:
                    servo.goal = servo.position
                servo.torque = bool(data[0])
            table[address : address + len(data)] = data
            if address == 7:
                self.rename(number, data[0])
            self.settings(servo)
        return error

    def rename(self, old, new):
        """Give a motor another id."""
        for kept in (self.servos, self.memory, self.heard, self.asleep):
            kept[new] = kept.pop(old)
        self.renamed[old] = new
        self.servos[new].number = new

    def refusal(self, number, address, data):
        servo, table = self.servos[number], self.memory[number]
        highest, lowest = (int.from_bytes(table[at : at + 4], "little") for at in (48, 52))
        goal = int.from_bytes(data, "little", signed=True) if address == 116 else 0
        locked = address < EEPROM_END and servo.torque
        if locked or (address == 64 and data[0] and table[70]):
            return ACCESS
        if (address == 116 and table[98] == TRIPPED) or (address == 98 and data[0] > 127):
            return RANGE
        if address == 116 and table[11] == 3 and not lowest <= goal <= highest:
            return LIMIT
        return 0

    def settings(self, servo):
        table = self.memory[servo.number]
        acceleration, speed = (int.from_bytes(table[at : at + 4], "little") for at in (108, 112))
        servo.acceleration = (acceleration or 1000) * 214.577 / 3600 * 4096
        servo.top_speed = (speed or 300) * 0.229 / 60 * 4096


def words(data):
    """Return two numbers of two bytes each."""
    return int.from_bytes(data[:2], "little"), int.from_bytes(data[2:4], "little")


def crc(data):
    """Return CRC-16 with polynomial 0x8005, as the protocol has it."""
    value = 0
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x8005 if value & 0x8000 else value << 1) & 0xFFFF
    return value


if __name__ == "__main__":
    main(DynamixelBus)
