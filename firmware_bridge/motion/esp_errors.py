"""What the error numbers of a Newport ESP controller mean, in our words, and what to do about them.

Source: appendix A of the ESP300/ESP301 user's manual. Axis errors are axis * 100 + number.
"""

from __future__ import annotations

from typing import Final

_ASK: Final = "this program sent what the controller does not know; check that it is an ESP300, ESP301 or compatible"
_ON: Final = "open the axis again, or home it, to switch the motor on"

GENERAL: Final[dict[int, tuple[str, str]]] = {
    1: ("communication timed out inside the controller", "power-cycle it"),
    4: ("emergency stop activated", "release it, then open the axes again"),
    6: ("command does not exist", _ASK),
    7: ("parameter out of range", _ASK),
    8: ("cable interlock open", "plug the interlock connector in"),
    9: ("axis number out of range", "correct the axis number in the configuration"),
    27: ("command not allowed now", "wait until the axis stands, then repeat it"),
    37: ("axis number missing", _ASK),
    38: ("command parameter missing", _ASK),
}
AXIS: Final[dict[int, tuple[str, str]]] = {
    0: ("motor type not defined", "set the stage up on the controller"),
    1: ("parameter out of range", "check unit and limits of the axis on the controller"),
    2: ("amplifier fault", "let it cool, check the motor cable, then home the axis"),
    3: ("following error too large", "check what blocks the stage, then home the axis"),
    4: ("positive hardware limit switch hit", "move the axis in negative direction, then home it"),
    5: ("negative hardware limit switch hit", "move the axis in positive direction, then home it"),
    6: ("beyond the positive software limit of the controller", "choose a smaller position, or widen SR"),
    7: ("beyond the negative software limit of the controller", "choose a larger position, or widen SL"),
    8: ("motor or stage not connected", "check the stage's cable and the axis number in the configuration"),
    9: ("feedback signal fault", "check the encoder cable, then home the axis"),
    10: ("maximum velocity exceeded", "check VA of the axis on the controller"),
    11: ("maximum acceleration exceeded", "check AC of the axis on the controller"),
    13: ("motor not enabled", _ON),
    20: ("homing aborted", "check what stopped it, then home again"),
    29: ("interlock input open", "close it, then home the axis"),
    30: ("command not allowed while homing", "wait until the axis stands, then repeat it"),
    32: ("trajectory mode does not allow moves", "set TJ1 on the controller"),
}

#: Errors that refuse a command and say nothing about the axis.
REFUSALS: Final = frozenset({1, 6, 7, 27, 30, 37, 38})


def is_refusal(code: int) -> bool:
    """True for an error of the command, not of the axis or the controller."""
    return code % 100 in REFUSALS


def describe(code: int) -> str:
    """An ESP error number in words, with its remedy."""
    table, number = (AXIS, code % 100) if code >= 100 else (GENERAL, code)
    meaning, remedy = table.get(number, ("error that this program has no text for", "see the controller's manual"))
    return f"{meaning} (error {code}); {remedy}"
