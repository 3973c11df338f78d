"""A device for tests of the bridge: what it does is set from outside, and time is counted by hand."""

from __future__ import annotations

from collections.abc import Sequence

from edge.bridge.jobs import DONE, Heard, Job, Outcome, VersionMismatch
from edge.messages import DeviceCommand, DeviceState


class Clock:
    """Monotonic seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeError(RuntimeError):
    """The device is there and something is wrong."""


class FakeHandler:
    """Follows the protocol of :class:`edge.bridge.jobs.Handler`."""

    name = "fake"
    units: tuple[str, ...] = ("m1_x", "m1_z")
    errors: tuple[type[Exception], ...] = (FakeError,)
    period_s = 0.2

    def __init__(self) -> None:
        self.there = True
        self.wrong: Exception | None = None
        self.answer: Outcome | None = DONE
        self.later: Outcome | None = None
        self.said: list[Heard] = []
        self.called: list[str] = []
        self.tries = 0

    def open(self) -> str:
        self.tries += 1
        self._check()
        return "found"

    def close(self) -> None:
        self.called.append("close")

    def fileno(self) -> int:
        return -1

    def keep_alive(self) -> None:
        self.called.append("alive")

    def poll(self) -> Heard:
        self.called.append("poll")
        self._check()
        return self.said.pop(0) if self.said else Heard()

    def report(self, unit: str) -> Sequence[DeviceState]:
        return (DeviceState(device=unit, present=True, state="idle"),)

    def begin(self, job: Job) -> Outcome | None:
        self._check()
        self.called.append(f"{job.action} {job.unit}")
        return self.answer

    def advance(self, job: Job) -> Outcome | None:
        self._check()
        return self.later

    def abort(self, job: Job) -> None:
        self.called.append(f"abort {job.unit}")

    def _check(self) -> None:
        if not self.there:
            raise OSError("unplugged")
        if self.wrong is not None:
            raise self.wrong


def job(action: str = "move", unit: str = "m1_x", number: int = 1, **fields: object) -> Job:
    command = DeviceCommand.model_validate({"action": action, "device": unit, "source": "test", **fields})
    return Job(number, unit, command)


__all__ = ["Clock", "FakeError", "FakeHandler", "VersionMismatch", "job"]
