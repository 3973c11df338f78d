"""Numbers that a Newport ESP controller uses: units, errors and what it says about them."""

from __future__ import annotations

from typing import Final

VERSION: Final = "ESP300 Version 3.08 (Darklane emulation)"
MAX_AXES: Final = 3
#: Errors kept until they are asked for.
QUEUE: Final = 10
#: Units of command SN, as (kind of stage, size in the stage's own unit: µm or mrad).
UNITS: Final = {
    2: ("um", 1000.0),
    3: ("um", 1.0),
    7: ("mrad", 17.453292519943295),
    9: ("mrad", 1000.0),
    10: ("mrad", 1.0),
    11: ("mrad", 0.001),
}
POWER_UP_UNIT: Final = {"um": 2, "mrad": 7}

NO_COMMAND, OUT_OF_RANGE, NO_AXIS, AXIS_MISSING, PARAMETER_MISSING = 6, 7, 9, 37, 38
#: Errors of an axis; the controller reports axis * 100 + number.
BAD_VALUE, AMPLIFIER, LAGS, UPPER_SWITCH, LOWER_SWITCH, UPPER_SOFT, LOWER_SOFT, NOT_THERE = 1, 2, 3, 4, 5, 6, 7, 8
OFF, HOMING_ABORTED, HOMING = 13, 20, 30

#: What command TB says, axis errors as those of axis 1.
TEXTS: Final = {
    0: "NO ERROR DETECTED",
    NO_COMMAND: "COMMAND DOES NOT EXIST",
    OUT_OF_RANGE: "PARAMETER OUT OF RANGE",
    NO_AXIS: "AXIS NUMBER OUT OF RANGE",
    AXIS_MISSING: "AXIS NUMBER MISSING",
    PARAMETER_MISSING: "COMMAND PARAMETER MISSING",
    100 + BAD_VALUE: "PARAMETER OUT OF RANGE",
    100 + AMPLIFIER: "AMPLIFIER FAULT DETECTED",
    100 + LAGS: "FOLLOWING ERROR THRESHOLD EXCEEDED",
    100 + UPPER_SWITCH: "POSITIVE HARDWARE LIMIT DETECTED",
    100 + LOWER_SWITCH: "NEGATIVE HARDWARE LIMIT DETECTED",
    100 + UPPER_SOFT: "POSITIVE SOFTWARE LIMIT DETECTED",
    100 + LOWER_SOFT: "NEGATIVE SOFTWARE LIMIT DETECTED",
    100 + NOT_THERE: "MOTOR / STAGE NOT CONNECTED",
    100 + OFF: "MOTOR NOT ENABLED",
    100 + HOMING_ABORTED: "HOMING ABORTED",
    100 + HOMING: "COMMAND NOT ALLOWED DURING HOMING",
}


def text(code: int) -> str:
    """What TB says about error ``code``."""
    return TEXTS[code % 100 + 100 if code >= 100 else code]
