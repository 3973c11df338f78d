"""One connection to a device: opened again with back-off whenever it is lost, jobs carried out, no thread here."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from edge.bridge.jobs import (
    LIMITS_S,
    Broken,
    DeviceGone,
    Finished,
    Found,
    Handler,
    Job,
    Lost,
    Note,
    Outcome,
    Spoke,
    VersionMismatch,
)
from edge.messages import DeviceState

#: Wait between attempts to open the device: doubled up to the longest, s.
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0
#: Look after jobs that take a while this often, s.
BUSY_PERIOD_S = 0.05
#: So many looks in a row that ended in an error: the device does not speak any more.
MAX_BAD_LOOKS = 3
#: Without a sign of life of the bridge's loop for this long, the device hears nothing from us either, s.
LOOP_SILENT_S = 1.0
KEEP_ALIVE_S = 0.25


class DeviceLink:
    """Call :meth:`step` often, in one thread. What the loop calls is above the line, and may come from another."""

    def __init__(self, handler: Handler, clock: Callable[[], float] = time.monotonic) -> None:
        self.handler = handler
        self._open_errors: tuple[type[Exception], ...] = (OSError, *handler.errors)
        self.is_open = False
        self.reason = "not opened yet"
        self._clock = clock
        self._jobs: deque[Job] = deque()
        self._active: dict[str, tuple[Job, float]] = {}
        self._hints: deque[str | None] = deque()
        self._taken = True
        self._beat_s = clock()
        self._wait_s = FIRST_WAIT_S
        self._next_try = self._next_look = self._next_alive = 0.0
        self._bad_looks = 0
        self._said = ""

    # ---- from the loop's thread -----------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Carry out ``job`` at the next step."""
        self._jobs.append(job)

    def hint(self, gone: str | None) -> None:
        """The system says that the device was plugged in (None), or that it is gone (with the reason)."""
        self._hints.append(gone)

    def taken(self) -> None:
        """The last :class:`Spoke` has been dealt with: its events may be acknowledged."""
        self._taken = True

    def beat(self) -> None:
        """The bridge's loop makes progress."""
        self._beat_s = self._clock()

    # ---- from the device's thread -----------------------------------------------------------------------------

    @property
    def patience_s(self) -> float:
        """How long one may wait for the device or a job before the next step, s."""
        if self._active:
            return BUSY_PERIOD_S
        return KEEP_ALIVE_S if not self.is_open else min(self.handler.period_s, KEEP_ALIVE_S)

    @property
    def watched_fd(self) -> int:
        """Descriptor that makes the next step worthwhile; -1 while there is none."""
        return self.handler.fileno() if self.is_open and self._taken else -1

    def step(self) -> list[Note]:
        """One round: connect, jobs, heartbeat, a look at the device."""
        notes: list[Note] = []
        while self._hints:
            gone = self._hints.popleft()
            if gone is None:
                self._next_try, self._wait_s = 0.0, FIRST_WAIT_S
            elif self.is_open:
                notes += self._drop(gone)
        if not self.is_open:
            notes += self._connect()
        while self._jobs:
            notes += self._begin(self._jobs.popleft())
        if self.is_open:
            try:
                self._keep_alive()
                notes += self._advance()
                notes += self._look()
            except self._open_errors as error:
                notes += self._drop(str(error))
        return notes

    def close(self) -> None:
        """Give the device back."""
        if self.is_open:
            self.is_open = False
            self.handler.close()

    def _connect(self) -> list[Note]:
        now = self._clock()
        if now < self._next_try:
            return []
        try:
            detail = self.handler.open()
        except VersionMismatch as error:
            return [Broken(self.handler.name, error)]
        except self._open_errors as error:
            self.reason = str(error)
            self._next_try = self._clock() + self._wait_s
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
            return self._say_lost()
        self.is_open, self.reason, self._said = True, "", ""
        self._wait_s, self._bad_looks, self._taken = FIRST_WAIT_S, 0, True
        self._next_look = self._next_alive = now
        return [Found(self.handler.name, detail)]

    def _drop(self, reason: str) -> list[Note]:
        self.is_open, self.reason = False, reason
        self._next_try = self._clock() + self._wait_s
        # The device may have gone with unsent bytes; there is nothing left to close then.
        with suppress(OSError):
            self.handler.close()
        ended: list[Note] = [
            Finished(job, Outcome(ok=False, reason=f"{job.unit} was lost during {job.action}: {reason}"))
            for job, _ in self._active.values()
        ]
        self._active.clear()
        return [*ended, *self._say_lost()]

    def _say_lost(self) -> list[Note]:
        # The same words are not said twice: an absent device is tried every two seconds.
        if self._said:
            return []
        self._said = self.reason
        return [Lost(self.handler.name, self.reason)]

    def _begin(self, job: Job) -> list[Note]:
        if not self.is_open:
            return [Finished(job, Outcome(ok=False, reason=f"{job.action}: {job.unit} is not there ({self.reason})"))]
        notes: list[Note] = []
        running = self._active.pop(job.unit, None)
        if running is not None:
            # Only stops get here while something runs.
            why = f"{running[0].action} was ended by {job.action} of {job.command.source or 'unknown'}"
            notes.append(Finished(running[0], Outcome(ok=False, reason=why)))
        try:
            outcome = self.handler.begin(job)
        except DeviceGone as error:
            return [*notes, Finished(job, Outcome(ok=False, reason=f"{job.action}: {error}")), *self._drop(str(error))]
        except OSError as error:
            why = f"{job.action}: {job.unit} was lost ({error})"
            return [*notes, Finished(job, Outcome(ok=False, reason=why)), *self._drop(str(error))]
        except self.handler.errors as error:
            outcome = Outcome(ok=False, reason=f"{job.action}: {error}")
        self._next_look = 0.0
        if outcome is None:
            self._active[job.unit] = (job, self._clock() + (job.command.timeout_s or LIMITS_S.get(job.action, 10.0)))
            return notes
        return [*notes, self._finished(job, outcome)]

    def _advance(self) -> list[Note]:
        notes: list[Note] = []
        for unit, (job, deadline) in list(self._active.items()):
            try:
                outcome = self.handler.advance(job)
                if outcome is None and self._clock() >= deadline:
                    self.handler.abort(job)
                    limit_s = job.command.timeout_s or LIMITS_S.get(job.action, 10.0)
                    outcome = Outcome(
                        ok=False, reason=f"{job.action} of {unit} was not done after {limit_s:g} s; ended"
                    )
            except self.handler.errors as error:
                outcome = Outcome(ok=False, reason=f"{job.action}: {error}")
            if outcome is not None:
                del self._active[unit]
                self._next_look = 0.0
                notes.append(self._finished(job, outcome))
        return notes

    def _finished(self, job: Job, outcome: Outcome) -> Finished:
        """Whoever is told that it is done shall find the new state in the bridge's status."""
        states: Sequence[DeviceState] = ()
        if outcome.ok:
            # What is wrong shows again at the next look.
            with suppress(OSError, *self.handler.errors):
                states = self.handler.report(job.unit)
        return Finished(job, replace(outcome, states=states))

    def _keep_alive(self) -> None:
        now = self._clock()
        if now >= self._next_alive and now - self._beat_s < LOOP_SILENT_S:
            self._next_alive = now + KEEP_ALIVE_S
            self.handler.keep_alive()

    def _look(self) -> list[Note]:
        if not self._taken or (self.handler.fileno() < 0 and self._clock() < self._next_look):
            return []
        self._next_look = self._clock() + self.handler.period_s
        try:
            heard = self.handler.poll()
        except self.handler.errors as error:
            self._bad_looks += 1
            if self._bad_looks >= MAX_BAD_LOOKS:
                raise DeviceGone(str(error)) from error
            return []
        self._bad_looks = 0
        if not heard.events and not heard.states:
            return []
        self._taken = False
        return [Spoke(self.handler.name, heard)]
