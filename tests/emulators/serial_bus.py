"""What the emulated serial buses share: a pty, servos that move in real time, and their failures.

The program prints `ready` once the pty stands at `--link`. Lines on its standard input then make it
fail; each is answered by `ok` or by JSON. It ends with its standard input.

    lose N          every N-th reply is lost (1: a dead bus, whose port stays open; 0: none)
    corrupt N       every N-th reply has a wrong checksum
    delay S         replies come S seconds late
    delay_next S    the next reply alone comes S seconds late
    shorten N       every N-th reply lacks its last two bytes of data, with a checksum that is right
    impersonate N   every N-th reply says that it is from the motor of the next id
    vanish ID       a motor does not answer, and does not move; `appear ID` undoes it, power lost
    freeze ID       its encoder shows the same position for ever; `thaw ID` undoes it
    overload ID     it was blocked
    voltage ID V    its supply
    put ID TICK     somebody moves it by hand
    register ID A N [B]  writes N at address A, B bytes wide, as the maker's tool would
    drift ID V      it moves at V ticks/s whatever it is told, as with a broken gear, and says
                    that its speed is 0
    state           JSON of all motors as they really are
    unplug          the adapter is pulled out; `plug` puts it back
"""

import argparse
import json
import os
import pty
import select
import sys
import termios
import time
import tty

RATES = {
    getattr(termios, f"B{rate}"): rate
    for rate in (38400, 57600, 115200, 500000, 1000000, 2000000, 3000000, 4000000)
}
"""By termios' codes; any other rate is set as it is."""


class Servo:
    """A motor that goes to its goal with limited speed and acceleration, in ticks and seconds."""

    def __init__(self, number, tick):
        self.number = number
        self.position = float(tick)
        self.velocity = 0.0
        self.goal = float(tick)
        self.top_speed = 3000.0
        self.acceleration = 20000.0
        self.torque = False
        self.frozen = None
        self.gone = False
        self.overloaded = False
        self.volts = 7.4
        self.drift = 0.0
        self.baudrate = 1_000_000

    def move(self, seconds):
        """Advance by small steps of a trapezoid in velocity."""
        while seconds > 0:
            step = min(seconds, 0.001)
            seconds -= step
            if self.drift:
                self.position += self.drift * step
                continue
            if not self.torque or self.gone or self.overloaded:
                self.velocity = 0.0
                continue
            error = self.goal - self.position
            wanted = min(self.top_speed, (2 * self.acceleration * abs(error)) ** 0.5)
            wanted = wanted if error > 0 else -wanted
            most = self.acceleration * step
            self.velocity += min(max(wanted - self.velocity, -most), most)
            way = self.velocity * step
            if abs(error) <= max(abs(way), 0.5) and abs(self.velocity) <= 2 * most:
                self.position, self.velocity = self.goal, 0.0
            else:
                self.position += way

    @property
    def shown(self):
        """Tick that the encoder shows, which jumps from 4095 to 0."""
        return round(self.position) % 4096 if self.frozen is None else self.frozen


class Bus:
    """A pty with servos on it; a subclass speaks the protocol."""

    def __init__(self, link, servos):
        self.link = link
        self.servos = {servo.number: servo for servo in servos}
        self.lose = self.corrupt = self.shorten = self.impersonate = self.replies = 0
        self.delay = self.delay_next = 0.0
        self.late = []
        self.received = bytearray()
        self.now = time.monotonic()
        self.plug()

    def plug(self):
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        if os.path.lexists(self.link):
            os.remove(self.link)
        os.symlink(os.ttyname(self.slave), self.link)
        os.close(self.slave)  # so that who opens the port is the only one who has it open

    def packets(self):
        """Take the whole packets out of `received`; yield one tuple each."""
        raise NotImplementedError

    def answer(self, *packet):
        """Obey one packet; yield replies."""
        raise NotImplementedError

    def changed(self, reply, others=0, cut=0):
        """Return a reply of a motor some ids on, or with less data; its checksum is right."""
        raise NotImplementedError

    def baudrate(self):
        """Return the rate that whoever opened the port has set."""
        rate = termios.tcgetattr(self.master)[5]
        return RATES.get(rate, rate)

    def corrupted(self, reply):
        """Return a reply whose checksum is wrong."""
        return reply[:-1] + bytes([reply[-1] ^ 0x5A])

    def write(self, number, address, data):
        """Write to a motor's registers."""
        raise NotImplementedError

    def power_on(self, servo):
        """Bring a motor's registers to what they are after its power came."""
        raise NotImplementedError

    def advance(self):
        now = time.monotonic()
        for servo in self.servos.values():
            servo.move(now - self.now)
        self.now = now
        while self.late and self.late[0][0] <= now:
            os.write(self.master, self.late.pop(0)[1])

    def send(self, reply):
        """Send a reply, unless it is lost."""
        self.replies += 1
        if self.lose and self.replies % self.lose == 0:
            return
        if self.corrupt and self.replies % self.corrupt == 0:
            reply = self.corrupted(reply)
        if self.shorten and self.replies % self.shorten == 0:
            reply = self.changed(reply, cut=2)
        if self.impersonate and self.replies % self.impersonate == 0:
            reply = self.changed(reply, others=1)
        delay, self.delay_next = max(self.delay, self.delay_next), 0.0
        if delay:
            self.late.append((time.monotonic() + delay, reply))
            self.late.sort(key=lambda one: one[0])
        else:
            os.write(self.master, reply)

    def control(self, line):
        """Obey one line of standard input, and return what to print."""
        word, *rest = line.split()
        if word == "state":
            return json.dumps({number: self.state(s) for number, s in self.servos.items()})
        if word == "unplug":
            os.close(self.master)
            self.master = None
            os.remove(self.link)
        elif word == "plug":
            self.plug()
        elif word in ("lose", "corrupt", "shorten", "impersonate"):
            setattr(self, word, int(rest[0]))
            self.replies = 0
        elif word in ("delay", "delay_next"):
            setattr(self, word, float(rest[0]))
        elif word == "register":
            address, value, *width = map(int, rest[1:])
            self.write(int(rest[0]), address, value.to_bytes(*(width or [1]), "little"))
        else:
            self.control_servo(self.servos[int(rest[0])], word, rest[1:])
        return "ok"

    def control_servo(self, servo, word, rest):
        if word in ("vanish", "appear"):
            servo.gone = word == "vanish"
            if not servo.gone:
                self.power_on(servo)
        elif word in ("freeze", "thaw"):
            servo.frozen = servo.shown if word == "freeze" else None
        elif word == "overload":
            servo.overloaded = True
        elif word == "voltage":
            servo.volts = float(rest[0])
        elif word == "drift":
            servo.drift = float(rest[0])
        elif word == "put":
            servo.position = servo.goal = float(rest[0])
        else:
            raise ValueError(f"unknown word {word}")

    def state(self, servo):
        return {
            "position": servo.position,
            "velocity": servo.velocity,
            "goal": servo.goal,
            "torque": servo.torque,
            "top_speed": servo.top_speed,
            "acceleration": servo.acceleration,
        }

    def hear(self):
        """Take what came, and answer the motors' packets that have their baud rate."""
        try:
            data = os.read(self.master, 4096)
        except OSError:  # nobody has the port open
            time.sleep(0.002)
            return
        rate = self.baudrate()
        if not any(servo.baudrate == rate for servo in self.servos.values()):
            return
        self.received += data
        for packet in self.packets():
            for reply in self.answer(*packet):
                self.send(reply)

    def serve(self):
        print("ready", flush=True)
        while True:
            sources = [sys.stdin] + ([] if self.master is None else [self.master])
            ready, _, _ = select.select(sources, [], [], 0.002)
            self.advance()
            if self.master in ready:
                self.hear()
            if sys.stdin in ready:
                line = sys.stdin.readline()
                if not line:
                    return
                print(self.control(line), flush=True)


def main(bus):
    """Make the bus from the command line, and serve it until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--link", required=True, help="where the pty shall stand")
    parser.add_argument("--motors", default="1,2,3,4,5,6", help="ids")
    parser.add_argument("--tick", type=int, default=2048, help="where all motors start")
    arguments = parser.parse_args()
    servos = [Servo(int(number), arguments.tick) for number in arguments.motors.split(",")]
    bus(arguments.link, servos).serve()
