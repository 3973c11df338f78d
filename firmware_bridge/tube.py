"""Driver of the x-ray generator on its serial port. The beam is on only after :meth:`XRayTube.beam_on`, never else."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from firmware_bridge import tube_packets as wire
from firmware_bridge.serial_link import LinkError
from firmware_bridge.tube_link import TubeError, TubeLink, TubeRefused
from firmware_bridge.tube_packets import Command, Flag
from firmware_bridge.tube_status import TubeLimits, TubeStatus, beam, interlock_closed, state

__all__ = ["LinkError", "TubeError", "TubeLimits", "TubeRefused", "TubeStatus", "XRayTube"]

_LOG = logging.getLogger(__name__)
#: Pause between two looks at a ramp.
POLL_S: Final = 0.05
#: The beam must be down this long after the command at the latest, s.
DOWN_S: Final = 2.0
#: kV and mA count as reached within this part of what was commanded, and never within less than two counts.
TOLERANCE: Final = 0.02


class XRayTube:
    """The generator at ``path``. Opening and closing it takes the beam down: only this session's beam_on counts.

    The generator takes the beam down itself when it hears nothing for its watchdog time: call :meth:`status` at
    least twice in it. All calls are bounded in time and raise :class:`TubeError` or :class:`LinkError`.
    """

    def __init__(self, path: Path, *, limits: TubeLimits | None = None) -> None:
        self.limits = limits or TubeLimits()
        self._link = TubeLink(path)
        self._commanded: tuple[float, float] | None = None
        try:
            self.max_kv, self.max_ma = self._link.numbers(Command.SCALING, 3)[:2]
            if self.max_kv <= 0 or self.max_ma <= 0:
                raise self._link.error(f"says its maxima are {self.max_kv} kV and {self.max_ma} mA; check its set-up")
            self.watchdog_s = self._link.numbers(Command.CONFIGURATION, 12)[11]
            self.firmware = " ".join(self._link.ask(Command.FIRMWARE))
            if beam(self._flags()):
                _LOG.warning("x-ray generator at %s: beam was on when the driver opened; taking it down", path)
                self.beam_off()
        except BaseException:
            self._link.close()
            raise
        _LOG.info("x-ray generator at %s: %g kV, %g mA, %s", path, self.max_kv, self.max_ma, self.firmware)

    def __enter__(self) -> XRayTube:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the beam down if this driver switched it on, and give the port back."""
        try:
            if self._commanded is not None:
                self.beam_off()
        except (TubeError, LinkError) as error:
            _LOG.error("while closing: %s", error)
        finally:
            self._link.close()

    def status(self) -> TubeStatus:
        """Ask for everything; four exchanges at most. A difference to what was commanded is in ``deviation``."""
        flags = self._flags()
        kv, ma = self._monitors()
        hours = self._link.numbers(Command.HOURS, 1)[0]
        now = state(flags)
        if now != "on":
            self._commanded = None
        kv_set, ma_set = self._commanded or (0.0, 0.0)
        return TubeStatus(
            state=now,
            kv=kv,
            ma=ma,
            interlock_closed=interlock_closed(flags),
            fault=self._fault(flags),
            hours=hours,
            kv_set=kv_set,
            ma_set=ma_set,
            deviation=self._deviation(kv, ma) if now == "on" else "",
        )

    def warm_up(self) -> None:
        """Heat the filament; no x-rays. Returns at once; :meth:`status` is "warming", then "ready"."""
        flags = self._flags()
        self._refuse_faults(flags)
        if not flags[Flag.FILAMENT]:
            self._link.set(Command.FILAMENT, 1)

    def beam_on(self, kv: float, ma: float, *, timeout_s: float = 20.0) -> None:
        """Switch the beam on at ``kv`` and ``ma`` and wait until both are reached.

        :class:`TubeRefused`: out of limits, not ready, interlock open, fault, beam on already. :class:`TubeError`:
        the set-points read back or the measured values differ; the beam is then taken down again.
        """
        self._check_limits(kv, ma)
        self._check_ready()
        self._program(Command.SET_KV, Command.GET_KV_SET, kv / self.max_kv, f"{kv:g} kV")
        self._program(Command.SET_MA, Command.GET_MA_SET, ma / self.max_ma, f"{ma:g} mA")
        self._commanded = (kv, ma)
        try:
            # Sent once: a repeated "on" could follow an interlock that opened and closed in between.
            self._link.set(Command.BEAM, 1, attempts=1)
            self._wait_stable(timeout_s)
        except BaseException as error:
            self._take_down(error)
            raise

    def beam_off(self) -> None:
        """Switch the beam off and see that it is. :class:`TubeError` when it may still be on."""
        deadline = time.monotonic() + DOWN_S
        while True:
            self._link.set(Command.BEAM, 0)
            # Twice: the line's checksum is weak, and this answer must not be a damaged one.
            if not beam(self._flags()) and not beam(self._flags()):
                break
            if time.monotonic() > deadline:
                raise self._link.error(
                    "acknowledged 'beam off' but says that the beam is on; open the interlock by hand"
                )
            time.sleep(POLL_S)
        self._commanded = None

    def reset_fault(self) -> None:
        """Clear the faults; the beam stays off. :class:`TubeError` names what is still wrong."""
        self._link.set(Command.RESET_FAULTS)
        flags = self._flags()
        if flags[Flag.FAULT]:
            raise self._link.error(f"still reports {self._fault(flags)} after the reset; remove the cause first")

    # What beam_on checks.

    def _check_limits(self, kv: float, ma: float) -> None:
        for value, unit, (low, high), device in (
            (kv, "kV", self.limits.kv, self.max_kv),
            (ma, "mA", self.limits.ma, self.max_ma),
        ):
            if not low <= value <= min(high, device):
                raise TubeRefused(
                    f"x-ray tube: {value} {unit} is outside {low:g} to {min(high, device):g} {unit}; nothing was sent"
                )

    def _check_ready(self) -> None:
        flags = self._flags()
        self._refuse_faults(flags)
        reasons = {
            "it is in local mode: switch it to remote": flags[Flag.LOCAL],
            "its interlock is open: close every door": not interlock_closed(flags),
            "the beam is on already: switch it off first": beam(flags),
            "it is not warm: warm_up and wait for ready": not flags[Flag.READY] or not flags[Flag.FILAMENT],
            "its watchdog is off: set it to 1 to 10 s, or the beam outlives a dead lane": self.watchdog_s <= 0,
        }
        wrong = [text for text, applies in reasons.items() if applies]
        if wrong:
            raise TubeRefused(f"x-ray generator at {self._link.path} stays off; {'; '.join(wrong)}")

    def _refuse_faults(self, flags: tuple[bool, ...]) -> None:
        if flags[Flag.FAULT]:
            raise TubeRefused(
                f"x-ray generator at {self._link.path} reports {self._fault(flags)}; remove the cause, then reset_fault"
            )

    def _program(self, command: str, query: str, fraction: float, text: str) -> None:
        counts = round(fraction * wire.COUNTS)
        self._link.set(command, counts)
        read = self._link.numbers(query, 1)[0]
        if read != counts:
            raise self._link.error(
                f"was set to {text} ({counts} counts) but reads back {read:g} counts "
                f"({read / counts:.4f} of it); beam not switched on"
            )

    def _wait_stable(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            flags = self._flags()
            if not beam(flags):
                cause = self._fault(flags) or ("interlock open" if not interlock_closed(flags) else "no fault reported")
                raise self._link.error(f"went off by itself ({cause}); beam_on is needed again")
            differs = self._deviation(*self._monitors())
            if not differs:
                return
            if time.monotonic() > deadline:
                raise self._link.error(f"after {timeout_s:g} s: {differs}; beam taken down")
            time.sleep(POLL_S)

    def _take_down(self, cause: BaseException) -> None:
        """The beam must not stay on after a beam_on that failed."""
        try:
            self.beam_off()
        except (TubeError, LinkError) as error:
            raise TubeError(
                f"x-ray generator at {self._link.path}: the beam may be on, open the interlock by hand "
                f"({error}; before: {cause})"
            ) from cause

    def _flags(self) -> tuple[bool, ...]:
        return self._link.bits(Command.STATUS, wire.FLAGS)

    def _fault(self, flags: tuple[bool, ...]) -> str:
        if not flags[Flag.FAULT]:
            return ""
        bits = self._link.bits(Command.FAULTS, len(wire.FAULT_TEXTS))
        return ", ".join(text for text, bit in zip(wire.FAULT_TEXTS, bits, strict=True) if bit) or "an unnamed fault"

    def _monitors(self) -> tuple[float, float]:
        counts = self._link.numbers(Command.MONITORS, 8)
        scale = wire.MONITOR_RANGE / wire.COUNTS
        return counts[0] * scale * self.max_kv, counts[1] * scale * self.max_ma

    def _deviation(self, kv: float, ma: float) -> str:
        """What differs between measured and commanded, by more than the tolerance; empty when nothing does."""
        if self._commanded is None:
            return "the beam is on although nobody commanded it here"
        texts = []
        kv_set, ma_set = self._commanded
        for measured, commanded, full, unit in ((kv, kv_set, self.max_kv, "kV"), (ma, ma_set, self.max_ma, "mA")):
            count = wire.MONITOR_RANGE * full / wire.COUNTS
            if abs(measured - commanded) > max(TOLERANCE * commanded, 2 * count):
                texts.append(f"{commanded:g} {unit} commanded, {measured:.4g} {unit} measured")
        return "; ".join(texts)
