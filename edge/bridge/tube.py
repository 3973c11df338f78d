"""The x-ray generator as the bridge's threads see it. Nothing here ever switches the beam on by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from edge.bridge.jobs import DONE, Heard, Job, Outcome
from edge.messages import DeviceState
from firmware_bridge.tube import TubeError


class Status(Protocol):
    """What the generator says of itself."""

    @property
    def state(self) -> str:
        """off, warming, ready, on or fault."""

    @property
    def kv(self) -> float:
        """Tube voltage, kV."""

    @property
    def ma(self) -> float:
        """Tube current, mA."""

    @property
    def interlock_closed(self) -> bool:
        """Its own interlock loop."""

    @property
    def fault(self) -> str:
        """In words; empty when there is none."""

    @property
    def deviation(self) -> str:
        """How kV or mA differ from what was commanded; empty when they do not."""

    @property
    def hours(self) -> float:
        """Hours with beam."""


class Tube(Protocol):
    """The part of :class:`firmware_bridge.tube.XRayTube` that the bridge uses."""

    def status(self) -> Status:
        """Ask for everything."""

    def warm_up(self) -> None:
        """Begin to heat; no x-rays."""

    def beam_on(self, kv: float, ma: float) -> None:
        """Switch on and wait until both are reached."""

    def beam_off(self) -> None:
        """Switch off and see that it is."""

    def reset_fault(self) -> None:
        """Clear the faults."""

    def close(self) -> None:
        """Take the beam down and give the port back."""


class TubeHandler:
    """The generator. It is asked often enough to keep its own watchdog content, and only while the loop lives."""

    name = "tube"
    units: tuple[str, ...] = ("tube",)
    errors: tuple[type[Exception], ...] = (TubeError,)
    period_s = 0.25

    def __init__(self, opener: Callable[[], Tube], kv: float, ma: float) -> None:
        self._open = opener
        self._nominal = kv, ma
        self._tube: Tube | None = None

    def open(self) -> str:
        """Connect; the driver takes down a beam that it finds on."""
        self._tube = self._open()
        return str(getattr(self._tube, "firmware", ""))

    def close(self) -> None:
        """Give the port back; the driver takes the beam down."""
        tube, self._tube = self._tube, None
        if tube is not None:
            tube.close()

    @property
    def tube(self) -> Tube:
        """The open device."""
        assert self._tube is not None
        return self._tube

    def fileno(self) -> int:
        """It speaks only when asked."""
        return -1

    def keep_alive(self) -> None:
        """Asking for its status is what its watchdog wants."""

    def poll(self) -> Heard:
        """Its state, and what is wrong."""
        now = self.tube.status()
        return Heard(
            states=(
                DeviceState(
                    device="tube",
                    present=True,
                    state=now.state,
                    detail=now.fault,
                    values={"kv": now.kv, "ma": now.ma, "hours": now.hours},
                    facts={"interlock": "closed" if now.interlock_closed else "open", "deviation": now.deviation},
                ),
            )
        )

    def report(self, unit: str) -> Sequence[DeviceState]:
        """As :meth:`poll`."""
        return self.poll().states

    def begin(self, job: Job) -> Outcome | None:
        """Warming up takes minutes; a ramp takes as long as the driver's ``beam_on``."""
        if job.action == "warm_up":
            self.tube.warm_up()
            return None
        if job.action == "beam_on":
            kv, ma = self._nominal
            self.tube.beam_on(job.command.kv or kv, job.command.ma or ma)
        elif job.action == "beam_off":
            self.tube.beam_off()
        else:
            self.tube.reset_fault()
        return DONE

    def advance(self, job: Job) -> Outcome | None:
        """Whether it is warm."""
        now = self.tube.status()
        if now.state in ("ready", "on"):
            return DONE
        if now.fault or now.state == "fault":
            return Outcome(ok=False, reason=f"{job.action}: the x-ray generator reports {now.fault or 'a fault'}")
        return None

    def abort(self, job: Job) -> None:
        """A generator that is still warming does no harm."""
