"""What the error and warning numbers of a Kohzu ARIES controller mean, in our words, and what to do about them.

Source: the error list of the ARIES/LYNX manual as public drivers of the controller quote it (docs/reference/motion.md).
"""

from __future__ import annotations

from typing import Final

_ASK: Final = "this program sent what the controller does not know; check that it is an ARIES or LYNX"
_STOP: Final = "remove its cause, release it with REM, then home the axis"
_STAND: Final = "wait until the axis stands, or stop it"

ERRORS: Final[dict[int, tuple[str, str]]] = {
    1: ("command without STX on the serial line", "use the controller's TCP port, or check the serial cable"),
    3: ("bad character in a command", "check cable and shielding"),
    4: ("command does not exist", _ASK),
    5: ("emergency stop", _STOP),
    6: ("motor bus broken while moving", "plug the LYNX units in, then power-cycle the controller"),
    100: ("wrong number of parameters", _ASK),
    120: ("axis number out of range", "correct the axis number in the configuration"),
    121: ("system parameter does not exist", _ASK),
    304: ("CW (upper) hardware limit switch hit", "move the axis in negative direction, then home it"),
    305: ("CCW (lower) hardware limit switch hit", "move the axis in positive direction, then home it"),
    307: ("both hardware limit switches active", "check the stage's cable"),
    308: ("motor is not excited", "check the driver's power and alarm, then home the axis"),
    309: ("axis is moving", _STAND),
    310: ("target beyond what the controller can count", "check steps_per_unit in the configuration"),
    311: ("position cannot be set while moving", _STAND),
    313: ("system parameter cannot be set while moving", _STAND),
    314: ("stopped by the emergency stop", _STOP),
    315: ("stopped by an alarm of the motor driver", "check the driver and the motor cable, then home the axis"),
    317: ("stopped at the controller's upper soft limit", "choose a smaller position"),
    318: ("stopped at the controller's lower soft limit", "choose a larger position"),
    321: ("motor driver is not ready", "check the driver's power"),
    322: ("motor bus broken", "plug the LYNX units in, then power-cycle the controller"),
    323: ("already stopping", _STAND),
    399: ("stopped for a reason the controller does not know", "check the driver, then home the axis"),
    401: ("encoder never reached the target", "check what blocks the stage, then home the axis"),
    800: ("locked by an emergency stop", _STOP),
    801: ("emergency stop still active", "remove its cause first"),
    802: ("motor bus shut down", "plug the LYNX units in, then power-cycle the controller"),
    803: ("command came before the answer to the last one", "only one program may use the port"),
}
WARNINGS: Final[dict[int, tuple[str, str]]] = {
    51: ("units on the motor bus changed", "check that every LYNX is plugged in"),
    52: ("a unit was added to the motor bus", "power-cycle the controller to use it"),
    350: ("target beyond the controller's soft limit", "choose a position inside"),
}
#: Errors and warnings that refuse a command and say nothing about the axis.
REFUSALS: Final = frozenset({3, 4, *range(100, 122), 309, 310, 311, 313, 350})
#: Error 100 + n complains about parameter n, up to this one.
_LAST_PARAMETER: Final = 109


def describe(kind: str, code: int) -> str:
    """An ARIES error ('E') or warning ('W') number in words, with its remedy."""
    word = "warning" if kind == "W" else "error"
    if kind == "E" and 100 < code <= _LAST_PARAMETER:
        meaning, remedy = f"parameter {code - 100} out of range", "check steps_per_unit in the configuration"
    else:
        meaning, remedy = (WARNINGS if kind == "W" else ERRORS).get(
            code, (f"{word} that this program has no text for", "see the controller's manual")
        )
    return f"{meaning} ({word} {code}); {remedy}"
