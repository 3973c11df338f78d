"""Brings the devices of a lane up for scanning, by explicit commands, and again after an interruption."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

from edge.bridge.board import CONNECTION
from edge.bridge.client import CommandClient
from edge.bridge.jobs import LIMITS_S
from edge.config import Config
from edge.messages import Action, CommandReply, DeviceCommand, DeviceState

#: Ask the bridge how things are this often, s.
LOOK_S = 0.5
#: After a sequence, whether it worked or not, look again after this long, s.
AGAIN_S = 1.5
#: On top of what a command may take, for the way there and back, s.
MARGIN_S = 5.0

#: Switches the beam on.
BEAM: tuple[Action, ...] = ("warm_up", "beam_on")


class LaneDevices:
    """Talks to the bridge for whoever runs the lane.

    After an interruption of a *connection* (bridge or cable) it sends the same commands again, because whoever started
    the lane wants it to run. After an interlock, an emergency stop or a fault a person decides; ``operator`` plays that
    person at an emulated scanner: it resets and starts as soon as the cause is gone.
    """

    def __init__(
        self, client: CommandClient, config: Config, say: Callable[[str], None], *, operator: bool = False
    ) -> None:
        self.client = client
        self._detector = config.detector_control.enabled
        self._say = say
        self._operator = operator
        self._boot = ""
        self._steps: deque[DeviceCommand] = deque()
        self._doing = self._asked = ""
        self._doing_until = self._next_look = 0.0

    def steps(self) -> list[DeviceCommand]:
        """The commands that bring the lane up, in order; the belt comes last."""
        detector: tuple[Action, ...] = ("detector_configure", "detector_start") if self._detector else ()
        return [DeviceCommand(action=action) for action in (*detector, *BEAM, "belt_start")]

    def start(self, meanwhile: Callable[[], object] = lambda: None) -> str:
        """Send them and wait; returns why it did not work, or an empty text. ``NoAnswerError``: no bridge."""
        self._boot = self.client.ask(DeviceCommand(action="status")).devices.get("belt_boot", "")
        for command in self.steps():
            answer = self.client.ask(command, limit_s(command), meanwhile)
            if not answer.ok:
                return answer.reason
        self._rest(time.monotonic())
        return ""

    def tick(self) -> None:
        """Look after the devices without waiting; call it often."""
        now = time.monotonic()
        for answer in self.client.answers():
            if answer.command_id == self._asked:
                self._asked = ""
                if not self._steps and not self._doing:
                    self._look(answer, now)
            elif answer.command_id == self._doing:
                self._doing = ""
                if not answer.ok:
                    self._give_up(answer.reason, now)
                elif not self._steps:
                    self._say("the lane goes on")
                    self._rest(now)
        if self._doing and now >= self._doing_until:
            self._doing = ""
            self._give_up("the bridge does not answer", now)
        if self._steps and not self._doing:
            command = self._steps.popleft()
            self._doing = self.client.send(command)
            self._doing_until = now + limit_s(command)
            if not self._doing:
                self._give_up("the bridge is not there", now)
        elif not self._steps and not self._doing and now >= self._next_look:
            self._next_look = now + LOOK_S
            self._asked = self.client.send(DeviceCommand(action="status"))

    def _give_up(self, reason: str, now: float) -> None:
        self._say(f"the lane cannot go on yet: {reason}")
        self._steps.clear()
        self._rest(now)

    def _rest(self, now: float) -> None:
        """What was asked before is old, and the devices take a moment to say how they are."""
        self._asked = ""
        self._next_look = now + AGAIN_S

    def _look(self, answer: CommandReply, now: float) -> None:
        devices = answer.devices
        states = {state.device: state for state in answer.states}
        closed = devices.get("interlock") == "closed" and devices.get("belt") == "present"
        tube = states.get("tube")
        if self._operator and closed and devices.get("estop") != "off":
            # First of all: until then the generator's interlock is open too.
            self._begin(("reset_estop",))
            return
        if not closed or tube is None or not tube.present or tube.facts.get("interlock") == "open":
            return
        if self._operator:
            self._begin(self._as_operator(devices, states))
            return
        restarted = devices.get("belt_boot", "") not in ("", self._boot) and devices.get("belt_motion") == "stopped"
        interrupted = tube.state in ("off", "ready") and tube.facts.get("beam_down_because") == CONNECTION
        if devices.get("estop") == "off" and (interrupted or (restarted and tube.state == "on")):
            self._boot = devices.get("belt_boot", "")
            self._begin((*(BEAM if interrupted else ()), "belt_start"))

    def _as_operator(self, devices: dict[str, str], states: dict[str, DeviceState]) -> list[Action]:
        """What a person would send now that nothing is in the way any more."""
        tube, detector = states["tube"].state, states.get("detector")
        wanted: list[tuple[Action, bool]] = [
            ("detector_reset", detector is not None and detector.state == "fault"),
            ("detector_start", detector is not None and detector.state in ("fault", "idle")),
            ("tube_reset", tube == "fault"),
            ("warm_up", tube != "on"),
            ("beam_on", tube != "on"),
            ("belt_start", devices.get("belt_motion") == "stopped"),
        ]
        if tube == "warming" or (detector is not None and not detector.present):
            return []
        return [action for action, needed in wanted if needed]

    def _begin(self, actions: Iterable[Action]) -> None:
        self._steps.extend(DeviceCommand(action=action) for action in actions)
        if self._steps:
            self._say("bringing the lane up again: " + ", ".join(c.action for c in self._steps))


def limit_s(command: DeviceCommand) -> float:
    """How long to wait for the answer to ``command``, s."""
    return (command.timeout_s or LIMITS_S.get(command.action, 10.0)) + MARGIN_S
