"""A bus of Feetech STS3215 servos on a pty; see serial_bus.py for how to make it fail.

Packets are `FF FF id length instruction parameters... checksum`; replies have the error byte in the
instruction's place. Registers are those of the STS series.
"""

from serial_bus import Bus, main

PING, READ, WRITE, SYNC_READ, SYNC_WRITE = 1, 2, 3, 0x82, 0x83
BROADCAST = 0xFE
VOLTAGE, OVERLOAD = 1, 32
DEFAULTS = {0: 3, 1: 10, 3: 9, 4: 3, 7: 250, 8: 1, 11: 0xFF, 12: 0x0F, 14: 80, 15: 45, 18: 12}
DEFAULTS |= {13: 70, 16: 0xE8, 17: 3, 21: 32, 22: 32, 34: 20, 35: 200, 36: 80, 48: 0xE8, 49: 3}
DEFAULTS |= {30: 1, 55: 1, 63: 30, 84: 50, 85: 150}
MULTI_TURN = 16
"""BIT4 of the phase: positions count turns."""
EEPROM_END = 40


class FeetechBus(Bus):
    def __init__(self, link, servos):
        super().__init__(link, servos)
        self.memory, self.kept, self.renamed = {}, {}, {}
        for servo in servos:
            table = self.memory[servo.number] = bytearray(128)
            for address, value in DEFAULTS.items():
                table[address] = value
            table[5] = servo.number
            self.kept[servo.number] = bytes(table[:EEPROM_END])

    def power_on(self, servo):
        servo.torque, servo.overloaded = False, False
        table = self.memory[servo.number]
        table[:EEPROM_END] = self.kept[servo.number]
        table[40:48] = bytes(8)
        table[55] = 1
        self.settings(servo)

    def packets(self):
        while True:
            start = self.received.find(b"\xff\xff")
            if start < 0 or len(self.received) < start + 4:
                return
            del self.received[:start]
            size = self.received[3] + 4
            if len(self.received) < size:
                return
            packet = bytes(self.received[:size])
            del self.received[:size]
            if ~sum(packet[2:-1]) & 0xFF == packet[-1]:
                yield packet[2], packet[4], packet[5:-1]

    def answer(self, number, instruction, parameters):
        if instruction == SYNC_WRITE:
            address, length = parameters[:2]
            for at in range(2, len(parameters), length + 1):
                self.write(parameters[at], address, parameters[at + 1 : at + 1 + length])
        elif instruction == SYNC_READ:
            address, length = parameters[:2]
            for one in parameters[2:]:
                if self.there(one):
                    yield self.reply(one, self.read(one, address, length))
        elif number == BROADCAST and instruction == PING:
            for one in self.servos:
                if self.there(one):
                    yield self.reply(one, b"")
        elif self.there(number):
            if instruction == READ:
                yield self.reply(number, self.read(number, *parameters))
                return
            if instruction == WRITE:
                self.write(number, parameters[0], parameters[1:])
                number = self.renamed.pop(number, number)
            yield self.reply(number, b"")

    def there(self, number):
        return number in self.servos and not self.servos[number].gone

    def reply(self, number, data):
        body = bytes([number, len(data) + 2, self.error(self.servos[number])]) + data
        return b"\xff\xff" + body + bytes([~sum(body) & 0xFF])

    def error(self, servo):
        low = servo.volts * 10 < self.memory[servo.number][15]
        return VOLTAGE * low | OVERLOAD * servo.overloaded

    def read(self, number, address, length):
        servo, table = self.servos[number], self.memory[number]
        load = min(abs(servo.goal - servo.position), 1000.0) if servo.torque else 0.0
        sign = 1 if servo.goal >= servo.position else -1
        table[40] = servo.torque
        table[56:58] = encoded(self.position(servo), 15)
        table[58:60] = encoded(round(servo.velocity), 15)
        table[60:62] = encoded(sign * round(load), 10)
        table[62] = round(servo.volts * 10)
        table[65] = self.error(servo)
        table[66] = servo.velocity != 0
        return bytes(table[address : address + length])

    def position(self, servo):
        """Return the tick that it shows: the encoder's less the homing offset, in one turn."""
        table = self.memory[servo.number]
        offset = decoded(int.from_bytes(table[31:33], "little"), 11)
        if table[18] & MULTI_TURN and servo.frozen is None:
            return round(servo.position) - offset
        return (servo.shown - offset) % 4096

    def write(self, number, address, data):
        if not self.there(number):
            return
        servo, table = self.servos[number], self.memory[number]
        shown = self.position(servo)
        table[address : address + len(data)] = data
        written = range(address, address + len(data))
        if address < EEPROM_END and not table[55]:
            kept = self.kept[number]
            self.kept[number] = kept[:address] + bytes(data) + kept[address + len(data) :]
        if 5 in written and table[5] != number:
            self.rename(number, table[5])
            return
        if 40 in written:
            servo.torque = bool(table[40])
            servo.overloaded = False
        if 42 in written:
            goal = decoded(int.from_bytes(table[42:44], "little"), 15)
            lowest = int.from_bytes(table[9:11], "little")
            highest = int.from_bytes(table[11:13], "little")
            if (lowest, highest) != (0, 0):
                goal = min(max(goal, lowest), highest)
            servo.goal = servo.position + goal - shown
            servo.torque = True
        self.settings(servo)

    def rename(self, old, new):
        """Give a motor another id."""
        for kept in (self.servos, self.memory, self.kept):
            kept[new] = kept.pop(old)
        self.renamed[old] = new
        self.servos[new].number = new

    def changed(self, reply, others=0, cut=0):
        data = reply[5 : len(reply) - 1 - cut]
        body = bytes([reply[2] + others, len(data) + 2, reply[4]]) + data
        return b"\xff\xff" + body + bytes([~sum(body) & 0xFF])

    def settings(self, servo):
        table = self.memory[servo.number]
        servo.acceleration = (table[41] or 254) * 100.0
        servo.top_speed = float(int.from_bytes(table[46:48], "little") or 3000)


def decoded(value, sign):
    magnitude = value & ((1 << sign) - 1)
    return -magnitude if value >> sign & 1 else magnitude


def encoded(value, sign):
    return (abs(value) | (value < 0) << sign).to_bytes(2, "little")


if __name__ == "__main__":
    main(FeetechBus)
