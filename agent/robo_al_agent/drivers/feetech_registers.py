"""Feetech's STS and SMS series as tables (Feetech's memory table; LeRobot's `tables.py`)."""

from robo_al_agent.drivers.servo_registers import Family, Register, Settings, Wrong

FINE_SPEED = 1 << 2
"""BIT2 of the phase: speeds are in ticks/s, not in 50 ticks/s."""
MULTI_TURN = 1 << 4
"""BIT4 of the phase: positions count turns, go beyond 0 to 4095 and start anew at each power-on."""
MODES = {0: "position", 1: "wheel", 2: "open loop", 3: "steps"}


def unfit(settings: Settings) -> list[Wrong]:
    """Return what in a motor's settings no joint can use."""
    lines = []
    mode, phase = settings["mode"], settings["phase"]
    if mode != 0:
        told = (
            f"operating mode {mode} ({MODES.get(mode, 'unknown')}), register 33; set 0 (position)"
        )
        lines.append(Wrong("mode", told, 0))
    needed = (phase | FINE_SPEED) & ~MULTI_TURN
    if phase & MULTI_TURN:
        told = f"phase {phase}, register 18, turns multi-turn feedback on (BIT4, value 16)"
        lines.append(
            Wrong("phase", f"{told}; set {needed}, then switch its power off and on", needed)
        )
    if not phase & FINE_SPEED:
        told = f"phase {phase}, register 18, says speeds in 50 ticks/s (BIT2, value 4, is missing)"
        lines.append(Wrong("phase", f"{told}; set {needed}", needed))
    if settings["resolution"] > 1:
        told = f"angular resolution {settings['resolution']}, register 30, is for many turns; set 1"
        lines.append(Wrong("resolution", told, 1))
    if settings["lowest"] == settings["highest"] == 0:
        told = "limits 0 and 0, registers 9 and 11, stand for multi-turn positions; set 0 and 4095"
        lines.append(Wrong("highest", told, 4095))
    return lines


FEETECH = Family(
    name="feetech",
    module="scservo_sdk",
    protocol=0,
    settings={
        "model": Register(3, 2),
        "id": Register(5),
        "lowest": Register(9, 2),
        "highest": Register(11, 2),
        "phase": Register(18),
        "resolution": Register(30),
        "homing_offset": Register(31, 2, sign_bit=11),
        "mode": Register(33),
    },
    models={777: "STS3215", 2825: "STS3250", 11272: "SM8512BL"},
    offset_sign=-1,
    largest_offset=2047,
    writable=("id", "mode", "phase", "resolution", "homing_offset", "lowest", "highest"),
    torque=Register(40),
    position=Register(56, 2, sign_bit=15),
    lock=Register(55),
    baudrates=(1_000_000, 500_000, 115_200, 250_000, 57_600, 38_400),
    unfit=unfit,
)
