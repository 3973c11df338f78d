"""Commands: one at a time per device, refused with a reason, audited, acknowledged when done. No sockets."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from edge.bridge.jobs import LIMITS_S, STOPS, Job, Outcome
from edge.bridge.safety import ALL_AXES, AXIS_ACTIONS, DEVICE_OF, Situation, refuse
from edge.messages import CommandReply, DeviceCommand

#: Short commands that may wait for their device.
MAX_WAITING = 16


class Log(Protocol):
    """Where commands are written down; OSError when that is not possible."""

    def write(
        self, phase: str, command: DeviceCommand, device: str, reason: str = "", took_s: float | None = None
    ) -> None:
        """One line, on disk when this returns."""


@dataclass
class Order:
    """One command and the jobs that it became; ``reply`` is called with each answer."""

    command: DeviceCommand
    reply: Callable[[CommandReply], None]
    began: float
    left: int = 1
    reasons: list[str] = field(default_factory=list)


class Commands:
    """Takes commands, hands jobs to ``submit``, and gets their outcomes back by :meth:`finished`."""

    def __init__(
        self,
        units: Collection[str],
        axes: Collection[str],
        submit: Callable[[Job], None],
        audit: Log,
        situation: Callable[[], Situation],
        gate: Callable[[DeviceCommand], str],
        clock: Callable[[], float],
    ) -> None:
        self._units = frozenset(units)
        self._axes = tuple(axes)
        self._submit = submit
        self._audit = audit
        self._situation = situation
        self._gate = gate
        self._clock = clock
        self._number = itertools.count(1)
        self._running: dict[str, Job] = {}
        self._orders: dict[int, Order] = {}
        self._waiting: dict[str, deque[Job]] = {}
        self.refused = 0

    @property
    def busy(self) -> dict[str, str]:
        """The action that each busy device carries out."""
        return {unit: job.action for unit, job in self._running.items()}

    def take(self, command: DeviceCommand, reply: Callable[[CommandReply], None]) -> None:
        """Carry out ``command`` or refuse it; ``reply`` gets one answer in the end ('accepted' comes before)."""
        order = Order(command, reply, self._clock())
        targets, why = self._targets(command)
        why = why or self._unsafe(command) or self._occupied(targets, command)
        if not why:
            why = self._write("begin", order, ", ".join(targets))
            # A full disk must not keep anybody from making the scanner safe.
            if why and command.action in STOPS:
                why = ""
        if why:
            self.refused += 1
            self._write("refused", order, ", ".join(targets) or command.device, why)
            reply(self._answer(order, ok=False, reason=why))
            return
        if command.say_accepted and command.action in LIMITS_S:
            reply(self._answer(order, ok=True, phase="accepted"))
        order.left = len(targets)
        for unit in targets:
            job = Job(next(self._number), unit, command)
            self._orders[job.number] = order
            self._enqueue(job)

    def finished(self, job: Job, outcome: Outcome) -> None:
        """A job ended: answer when it was the last of its command, and begin what waited for the device."""
        if self._running.get(job.unit) == job:
            del self._running[job.unit]
        order = self._orders.pop(job.number, None)
        if order is not None:
            order.left -= 1
            if not outcome.ok:
                order.reasons.append(outcome.reason)
            if order.left == 0:
                self._end(order)
        self._next(job.unit)

    def _targets(self, command: DeviceCommand) -> tuple[tuple[str, ...], str]:
        if command.action not in AXIS_ACTIONS:
            device = DEVICE_OF[command.action]
            return (device,), "" if device in self._units else f"{command.action}: this lane has no {device}"
        if command.action == "stop_motion" and command.device == ALL_AXES:
            return self._axes, "" if self._axes else "stop_motion: this lane has no axes"
        if command.device not in self._axes:
            return (), f"{command.action}: no axis is called {command.device!r}; there are {', '.join(self._axes)}"
        return (command.device,), ""

    def _unsafe(self, command: DeviceCommand) -> str:
        return refuse(command, self._situation()) or self._gate(command)

    def _occupied(self, targets: tuple[str, ...], command: DeviceCommand) -> str:
        if command.action in STOPS:
            return ""
        for unit in targets:
            running = self._running.get(unit)
            if running is not None and running.action in LIMITS_S:
                who = running.command.source or "unknown"
                return f"{command.action}: {unit} is busy with {running.action} of {who}; wait for it or stop it"
            if len(self._waiting.get(unit, ())) >= MAX_WAITING:
                return f"{command.action}: {MAX_WAITING} commands wait for {unit} already"
        return ""

    def _enqueue(self, job: Job) -> None:
        if job.action in STOPS:
            # What waited was asked for before the stop.
            for old in self._waiting.pop(job.unit, ()):
                self._give_up(old, f"{old.action}: {job.action} came first")
            self._running[job.unit] = job
            self._submit(job)
        elif job.unit in self._running:
            self._waiting.setdefault(job.unit, deque()).append(job)
        else:
            self._running[job.unit] = job
            self._submit(job)

    def _next(self, unit: str) -> None:
        waiting = self._waiting.get(unit)
        while waiting and unit not in self._running:
            job = waiting.popleft()
            # It may have become unsafe while it waited.
            why = self._unsafe(job.command)
            if why:
                self._give_up(job, why)
            else:
                self._running[unit] = job
                self._submit(job)

    def _give_up(self, job: Job, why: str) -> None:
        order = self._orders.pop(job.number)
        order.left -= 1
        order.reasons.append(why)
        if order.left == 0:
            self._end(order)

    def _end(self, order: Order) -> None:
        reason = "; ".join(dict.fromkeys(order.reasons))
        device = order.command.device if order.command.action in AXIS_ACTIONS else DEVICE_OF[order.command.action]
        self._write("failed" if reason else "done", order, device, reason, self._clock() - order.began)
        order.reply(self._answer(order, ok=not reason, reason=reason))

    def _write(self, phase: str, order: Order, device: str, reason: str = "", took_s: float | None = None) -> str:
        try:
            self._audit.write(phase, order.command, device, reason, took_s)
        except OSError as error:
            return f"{order.command.action}: the audit cannot be written ({error}); make room on the disk"
        return ""

    def _answer(self, order: Order, *, ok: bool, reason: str = "", phase: str = "done") -> CommandReply:
        return CommandReply.model_validate(
            {"ok": ok, "reason": reason, "phase": phase, "command_id": order.command.command_id}
        )
