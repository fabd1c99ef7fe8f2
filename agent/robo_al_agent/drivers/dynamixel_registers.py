"""Dynamixel's X series, protocol 2.0, as tables (ROBOTIS e-manual)."""

from robo_al_agent.drivers.servo_registers import Family, Register, Settings, Wrong

MODES = {
    0: "current",
    1: "velocity",
    3: "position",
    4: "extended position: it counts turns",
    5: "current-based position: it counts turns",
    16: "PWM",
}
DRIVE = {
    1: "BIT0, value 1: reverse; say direction: -1 in the entry instead",
    2: "BIT1, value 2: a slave of another motor",
    4: "BIT2, value 4: profiles are in ms",
    8: "BIT3, value 8: a goal switches torque on",
}
"""What bits of the drive mode do."""


def unfit(settings: Settings) -> list[Wrong]:
    """Return what in a motor's settings no joint can use."""
    lines = []
    mode, drive = settings["mode"], settings["drive_mode"]
    if mode != 3:
        told = (
            f"operating mode {mode} ({MODES.get(mode, 'unknown')}), register 11; set 3 (position)"
        )
        lines.append(Wrong("mode", told, 3))
    if drive != 0:
        bits = "; ".join(meaning for bit, meaning in DRIVE.items() if drive & bit)
        told = f"drive mode {drive}, register 10 ({bits or 'unknown bits'}); set 0"
        lines.append(Wrong("drive_mode", told, 0))
    return lines


DYNAMIXEL = Family(
    name="dynamixel",
    module="dynamixel_sdk",
    protocol=2.0,
    settings={
        "model": Register(0, 2),
        "id": Register(7),
        "drive_mode": Register(10),
        "mode": Register(11),
        "homing_offset": Register(20, 4, signed=True),
        "highest": Register(48, 4),
        "lowest": Register(52, 4),
    },
    models={
        1000: "XH430-W350",
        1010: "XH430-W210",
        1020: "XM430-W350",
        1030: "XM430-W210",
        1040: "XH430-V350",
        1050: "XH430-V210",
        1060: "XL430-W250",
        1070: "XC430-W150",
        1080: "XC430-W240",
        1090: "2XL430-W250",
        1100: "XH540-W270",
        1110: "XH540-W150",
        1120: "XM540-W270",
        1130: "XM540-W150",
        1160: "2XC430-W250",
        1190: "XL330-M077",
        1200: "XL330-M288",
        1210: "XC330-T181",
        1220: "XC330-T288",
        1230: "XC330-M181",
        1240: "XC330-M288",
    },
    offset_sign=1,
    largest_offset=1024,
    writable=("id", "mode", "drive_mode", "homing_offset", "lowest", "highest"),
    torque=Register(64),
    position=Register(132, 4, signed=True),
    lock=None,
    baudrates=(57_600, 1_000_000, 115_200, 2_000_000, 3_000_000, 4_000_000),
    unfit=unfit,
)
