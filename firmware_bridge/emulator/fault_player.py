"""Plays fault scenarios: begins and heals each step when it is due, and writes down when it did."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware_bridge.emulator.fault_script import Script, Step

#: ``inject(device, fault, value)``.
Inject = Callable[[str, str, float], None]


@dataclass
class _Running:
    """One step and where it stands. ``bag0``: bags of the plan before its scenario."""

    script: Script
    step: Step
    bag0: int
    begun: bool = False
    heal_at_s: float | None = None
    over: bool = False
    over_s: float = 0.0


class FaultPlayer:
    """Scenarios one after another over the bags of one plan; each counts its bags where the one before ended.

    ``log`` is written anew: a JSON line whenever a fault begins or ends.
    """

    def __init__(self, scripts: Sequence[Script], inject: Inject, log: Path) -> None:
        self._inject = inject
        self._log = log
        log.unlink(missing_ok=True)
        self._steps: list[_Running] = []
        self._placed: list[tuple[float, float]] = []
        bag0 = 0
        for script in scripts:
            self._steps += [_Running(script, step, bag0) for step in script.step]
            bag0 += script.bags

    @property
    def active(self) -> bool:
        """True while something is broken that will be healed."""
        return any(running.begun and not running.over for running in self._steps)

    def holds(self, now_s: float) -> bool:
        """True while nobody puts a bag on the belt: something is about to fail, is broken, or was until just now.

        So the bags of a scenario do not depend on how fast the belt is against a fault that lasts some seconds.
        """
        return any(self._holds(running, now_s) for running in self._steps)

    def _holds(self, running: _Running, now_s: float) -> bool:
        if running.over:
            return now_s < running.over_s + running.script.pause_s
        return self._number(running) < len(self._placed)

    def placed(self, lead_um: float, now_s: float) -> None:
        """The next bag of the plan was put on the belt with its leading edge at this belt coordinate."""
        self._placed.append((lead_um, now_s))

    def step(self, travel_um: float, now_s: float, wall_ns: int) -> bool:
        """Begin and heal what is due; ``now_s`` is monotonic time. True when anything changed."""
        changed = False
        for running in self._steps:
            if not running.begun and self._due(running, travel_um, now_s):
                running.begun = changed = True
                self._set(running, running.step.value, "begin", wall_ns)
                if running.step.for_s is None:
                    running.over, running.over_s = True, now_s
                else:
                    running.heal_at_s = now_s + running.step.for_s
            elif running.heal_at_s is not None and not running.over and now_s >= running.heal_at_s:
                running.over = changed = True
                running.over_s = now_s
                self._set(running, 0.0, "end", wall_ns)
        return changed

    @staticmethod
    def _number(running: _Running) -> int:
        """The bag of the plan that the step belongs to, from 0."""
        return running.bag0 + (running.step.at.bag or 1) - 1

    def _due(self, running: _Running, travel_um: float, now_s: float) -> bool:
        at = running.step.at
        number = self._number(running)
        if number >= len(self._placed):
            return False
        lead_um, placed_s = self._placed[number]
        if at.s is not None:
            return now_s - placed_s >= at.s
        assert at.mm is not None
        return travel_um - lead_um >= at.mm * 1e3

    def _set(self, running: _Running, value: float, state: str, wall_ns: int) -> None:
        step = running.step
        self._inject(step.device, step.fault, value)
        line = {
            "t_ns": wall_ns,
            "scenario": running.script.name,
            "first_bag": running.bag0 + 1,
            "state": state,
            "device": step.device,
            "fault": step.fault,
            "value": value,
            "lasting": step.for_s is None,
        }
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
