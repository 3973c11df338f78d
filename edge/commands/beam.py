"""The beam for a command that uses the devices directly: switched on by it, watched, and taken down at its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from firmware_bridge.tube import TubeError, XRayTube

#: The generator's own watchdog takes the beam down when it hears nothing; look at it this often, s.
LOOK_S = 1.0
POLL_S = 0.1
#: The voltage counts as gone below this, kV, and must be so after this long, s.
DARK_KV, DARK_S = 2.0, 5.0


class Beam:
    """Context manager: warms the tube at ``path`` up. :meth:`on` switches the beam on at ``kv`` and parts of ``ma``.

    Call :meth:`keep` often. There is no thread that does it: when the routine hangs, the generator takes the beam down.
    """

    def __init__(
        self, path: Path, kv: float, ma: float, say: Callable[[str], None], *, warm_up_s: float = 1800.0
    ) -> None:
        self._kv, self._ma = kv, ma
        self._say = say
        self._warm_up_s = warm_up_s
        self._looked = 0.0
        self._part = 0.0
        self.tube = XRayTube(path)

    def __enter__(self) -> Beam:
        try:
            self._warm_up()
        except BaseException:
            self.tube.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tube.close()

    def keep(self) -> None:
        """Show the generator that somebody is there; :class:`TubeError` when the beam is not on any more."""
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        status = self.tube.status()
        if self._part and status.state != "on":
            why = status.fault or ("" if status.interlock_closed else "its interlock was opened") or "no reason given"
            raise TubeError(f"the beam went down: {why}; remove the cause and start again")

    def on(self, part: float = 1.0) -> None:
        """Beam on at ``part`` of the current; returns when voltage and current are reached."""
        if part == self._part:
            return
        self.off()
        self._say(f"beam on: {self._kv:g} kV, {part * self._ma:g} mA")
        self.tube.beam_on(self._kv, part * self._ma)
        self._part = part

    def off(self) -> None:
        """Beam off; returns when the voltage is gone."""
        self._part = 0.0
        self.tube.beam_off()
        deadline = time.monotonic() + DARK_S
        while self.tube.status().kv > DARK_KV:
            if time.monotonic() > deadline:
                raise TubeError(f"the tube still has over {DARK_KV:g} kV {DARK_S:g} s after 'off'; open the interlock")
            time.sleep(POLL_S)

    def kilovolts(self) -> float:
        """Measured voltage, kV."""
        return self.tube.status().kv

    def _warm_up(self) -> None:
        if self.tube.status().state != "ready":
            self._say("warming up the x-ray tube")
            self.tube.warm_up()
        deadline = time.monotonic() + self._warm_up_s
        while (state := self.tube.status().state) == "warming":
            if time.monotonic() > deadline:
                raise TubeError(f"the x-ray tube is not warm after {self._warm_up_s:.0f} s; have it looked at")
            time.sleep(POLL_S)
        if state == "fault":
            raise TubeError(f"the x-ray generator reports {self.tube.status().fault}; send tube-reset, then try again")
