"""What the belt controller switches (belt, clear line, lamps) and what forbids it: docs/reference/belt-protocol.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from firmware_bridge.belt_packets import HEARTBEAT_TIMEOUT_S, MAX_CLEAR_UM, STALL_S, Kind, Light

#: A software controller may itself be held up; a standing encoder counts for no more than this per step, s.
_STEP_S: Final = 0.25
#: Clear-line windows waiting for their bag to reach the diverter.
MAX_WINDOWS: Final = 16


class BeltMachine:
    """Inputs: doors, emergency-stop button, encoder, the lane's commands and its silence. Outputs: the rest."""

    def __init__(self, encoder_um: float) -> None:
        self._encoder_um = encoder_um
        self.interlock_closed = True
        self.pressed = False
        #: Kept in non-volatile memory: cutting the power resets no emergency stop.
        self.latched = False
        self.power_on()

    def power_on(self) -> None:
        """Outputs as after switching on; doors, button and latch are as they are."""
        self.moving = False
        self.clear_line = False
        self.windows: list[tuple[int, int]] = []
        self._wanted = Light(0)
        self._heard_s: float | None = None
        self._lane_lives = False
        self._stepped_s: float | None = None
        self._stood_s = 0.0
        self._encoder = 0

    @property
    def safe(self) -> bool:
        """Doors closed and no emergency stop in force."""
        return self.interlock_closed and not self.latched

    @property
    def lights(self) -> Light:
        """The lamps asked for; without safety or without a lane, red is lit and green is not."""
        if self.safe and self._lane_lives:
            return self._wanted
        return (self._wanted | Light.RED) & ~Light.GREEN

    def heard(self, now_s: float) -> None:
        """The lane said something."""
        self._heard_s = now_s

    def drop_windows(self) -> None:
        """Nothing that was asked for may clear a bag any more."""
        self.windows.clear()
        self.clear_line = False

    def set_interlock(self, closed: bool) -> bool:
        """The doors; True when that is new."""
        changed = closed != self.interlock_closed
        self.interlock_closed = closed
        self._halt_unless_safe()
        return changed

    def set_estop(self, pressed: bool) -> bool:
        """The button; True when that is new. Pressing it latches the stop."""
        changed = pressed != self.pressed
        self.pressed = pressed
        self.latched = self.latched or pressed
        self._halt_unless_safe()
        return changed

    def step(self, encoder: int, now_s: float) -> None:
        """Time and belt have gone on: drop what has passed or is no longer vouched for, switch the clear line."""
        self._lane_lives = self._heard_s is not None and now_s - self._heard_s <= HEARTBEAT_TIMEOUT_S
        if not self._lane_lives or self._encoder_stands(encoder, now_s):
            self.drop_windows()
        self.windows = [window for window in self.windows if window[1] > encoder]
        self.clear_line = any(start <= encoder < stop for start, stop in self.windows)

    def carry_out(self, kind: Kind, values: Sequence[int], encoder: int) -> str:
        """Do what a command says; returns why not, or an empty text."""
        reason = ""
        if kind is Kind.STOP:
            self.moving = False
        elif kind is Kind.SET_LIGHTS:
            reason = self._set_lights(values[0])
        elif kind is Kind.RESET_ESTOP:
            reason = "emergency stop is still pressed" if self.pressed else ""
            self.latched = self.pressed
        elif not self.safe:
            reason = "emergency stop" if self.latched else "interlock open"
        elif kind is Kind.START:
            self.moving = True
        else:
            reason = self._add_window(values[-2], values[-1], encoder)
        return reason

    def _encoder_stands(self, encoder: int, now_s: float) -> bool:
        """The belt is on and its encoder does not turn: no count would ever end a window."""
        passed_s = 0.0 if self._stepped_s is None else min(now_s - self._stepped_s, _STEP_S)
        stands = self.moving and encoder == self._encoder
        self._stood_s = self._stood_s + passed_s if stands else 0.0
        self._encoder, self._stepped_s = encoder, now_s
        return self._stood_s > STALL_S

    def _halt_unless_safe(self) -> None:
        if not self.safe:
            self.moving = False
            self.drop_windows()

    def _set_lights(self, lamps: int) -> str:
        # In plain numbers: inverting a flag keeps to the flags there are.
        unknown = lamps & ~int(Light.RED | Light.AMBER | Light.GREEN)
        if unknown:
            return f"no such lamps: {unknown:#x}"
        self._wanted = Light(lamps)
        return ""

    def _add_window(self, start: int, stop: int, encoder: int) -> str:
        wrong = {
            "window is empty": not start < stop,
            "window is past": stop <= encoder,
            f"window is longer than {MAX_CLEAR_UM / 1e3:.0f} mm": (stop - start) * self._encoder_um > MAX_CLEAR_UM,
            "window overlaps that of another bag": any(start < end and begin < stop for begin, end in self.windows),
            f"{MAX_WINDOWS} windows are waiting already": len(self.windows) >= MAX_WINDOWS,
        }
        reasons = [reason for reason, applies in wrong.items() if applies]
        if not reasons:
            self.windows.append((start, stop))
        return "; ".join(reasons)
