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


class Beam:
    """Context manager: warms the tube at ``path`` up and switches the beam on at ``kv`` and ``ma``.

    Call :meth:`keep` often. There is no thread that does it: when the routine hangs, the generator takes the beam down.
    """

    def __init__(
        self, path: Path, kv: float, ma: float, say: Callable[[str], None], *, warm_up_s: float = 1800.0
    ) -> None:
        self._wanted = kv, ma
        self._say = say
        self._warm_up_s = warm_up_s
        self._looked = 0.0
        self.tube = XRayTube(path)

    def __enter__(self) -> Beam:
        try:
            self._switch_on()
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
        if status.state != "on":
            why = status.fault or ("" if status.interlock_closed else "its interlock was opened") or "no reason given"
            raise TubeError(f"the beam went down: {why}; remove the cause and start again")

    def _switch_on(self) -> None:
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
        self._say("beam on: {:g} kV, {:g} mA".format(*self._wanted))
        self.tube.beam_on(*self._wanted)
