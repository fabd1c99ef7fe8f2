"""A family of serial servos as tables: which settings a motor keeps, where, and which it must have.

What a family has in its non-volatile memory is read in one piece, `Family.settings`, by the drivers
at `connect` and by `robo-al-agent setup`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from robo_al_agent.errors import SetupError

TURN = 4096
"""Ticks of a whole turn."""
Settings = Mapping[str, int]
"""A motor's settings by their names in `Family.settings`."""


@dataclass(frozen=True)
class Register:
    """Where a number is, and how it is written."""

    address: int
    size: int = 1
    """Bytes, the lowest first."""
    sign_bit: int | None = None
    """Bit that is a sign of its own; None: there is none."""
    signed: bool = False
    """Whether negative numbers are two's complements."""

    def decode(self, data: bytes, first: int) -> int:
        """Return the number in a piece of memory that begins at the address `first`."""
        at = self.address - first
        value = int.from_bytes(data[at : at + self.size], "little", signed=self.signed)
        if self.sign_bit is None:
            return value
        magnitude = value & ((1 << self.sign_bit) - 1)
        return -magnitude if value >> self.sign_bit & 1 else magnitude

    def encode(self, value: int) -> bytes:
        """Return a number as bytes.

        Raises:
            SetupError: it does not fit.
        """
        bits = 8 * self.size if self.sign_bit is None else self.sign_bit
        lowest = -(1 << (bits - 1)) if self.signed else 0
        highest = (1 << (bits - 1 if self.signed else bits)) - 1
        lowest = -highest if self.sign_bit is not None else lowest
        if not lowest <= value <= highest:
            raise SetupError(f"{value} does not fit: {lowest} to {highest} are possible")
        if self.sign_bit is not None:
            value = abs(value) | (value < 0) << self.sign_bit
        return value.to_bytes(self.size, "little", signed=self.signed)


@dataclass(frozen=True)
class Wrong:
    """A setting with which the driver does not move a motor."""

    name: str
    """In `Family.settings`."""
    message: str
    """What it is, and what is needed: `operating mode 1 (wheel); set 0 (position)`."""
    needed: int | None
    """What to set; None where no number mends it."""


@dataclass(frozen=True)
class Family:
    """One maker's servos of one protocol."""

    name: str
    """Of the driver, and of the extra of `pip install`."""
    module: str
    """The vendor's SDK."""
    protocol: float
    settings: Mapping[str, Register]
    """Non-volatile; among them `id`, `model`, `mode`, `homing_offset`, `lowest` and `highest`."""
    models: Mapping[int, str]
    """Known to have these registers and 4096 ticks a turn."""
    offset_sign: int
    """Shown position = encoder's + `offset_sign` * homing offset."""
    largest_offset: int
    """Of a homing offset in position mode."""
    writable: tuple[str, ...]
    """Settings that `robo-al-agent setup` writes."""
    torque: Register
    position: Register
    lock: Register | None
    """1: what is written is forgotten when the power goes."""
    baudrates: tuple[int, ...]
    """Usual ones, the likeliest first."""
    unfit: Callable[[Settings], list[Wrong]] = field(repr=False)
    """Returns what in a motor's settings no joint can use."""

    @property
    def first(self) -> int:
        """Address where the settings begin."""
        return min(register.address for register in self.settings.values())

    @property
    def length(self) -> int:
        """Bytes that the settings take."""
        ends = (register.address + register.size for register in self.settings.values())
        return max(ends) - self.first

    def decode(self, data: bytes) -> Settings:
        """Return the settings in a piece of memory that begins at `first`."""
        return {name: one.decode(data, self.first) for name, one in self.settings.items()}

    def wrong(self, settings: Settings, model: int | None = None) -> list[Wrong]:
        """Return what in a motor's settings does not fit.

        Args:
            settings: as read.
            model: number that its entry in AGENT.yaml demands; None: any of `models`.
        """
        found = settings["model"]
        lines = []
        if (model is None and found not in self.models) or (model is not None and found != model):
            known = ", ".join(f"{number} ({name})" for number, name in self.models.items())
            needed = f"one of {known}" if model is None else f"{model}, as its entry says,"
            hint = (
                "a motor with the same registers and 4096 ticks a turn: say `model:` in its entry"
            )
            lines.append(Wrong("model", f"model number {found}; {needed} is needed ({hint})", None))
        return lines + self.unfit(settings)
