"""Devices behind a running bridge, with the shapes that the calibration routine wants of its drivers."""

from __future__ import annotations

from edge.bridge.client import CommandClient, EventReader
from edge.bridge.jobs import LIMITS_S
from edge.bus import Bus
from edge.messages import CommandReply, DeviceCommand, DeviceEvent, DeviceState

#: On top of what a command may take, for the way there and back, s.
MARGIN_S = 5.0


class RemoteError(RuntimeError):
    """The bridge refused a command, or could not carry it out; the text is its reason."""


class _Remote:
    def __init__(self, client: CommandClient) -> None:
        self._client = client

    def _ask(self, command: DeviceCommand) -> CommandReply:
        limit_s = command.timeout_s or LIMITS_S.get(command.action, 10.0)
        reply = self._client.ask(command, limit_s + MARGIN_S)
        if not reply.ok:
            raise RemoteError(reply.reason)
        return reply

    def _state(self, device: str) -> DeviceState:
        for state in self._ask(DeviceCommand(action="status")).states:
            if state.device == device:
                if not state.present:
                    raise RemoteError(f"{device} is not there: {state.detail}")
                return state
        raise RemoteError(f"the bridge knows no device {device!r}")


class RemoteAxis(_Remote):
    """One axis in µm; ``NoAnswerError`` when there is no bridge, :class:`RemoteError` when it will not."""

    def __init__(self, client: CommandClient, name: str) -> None:
        super().__init__(client)
        self.name = name

    def position_um(self) -> float:
        """Where it stands, µm: read back from the controller after the last move."""
        return self._state(self.name).values["position"]

    def move_to_um(self, x: float) -> None:
        """Move to ``x`` µm and return when it stands there."""
        self._ask(DeviceCommand(action="move", device=self.name, target=x))

    def home(self) -> None:
        """Find the reference position."""
        self._ask(DeviceCommand(action="home", device=self.name))

    def stop(self) -> None:
        """Stop it where it is."""
        self._ask(DeviceCommand(action="stop_motion", device=self.name))


class RemoteBelt(_Remote):
    """The belt and its light barrier."""

    def __init__(self, client: CommandClient, bus: Bus) -> None:
        super().__init__(client)
        self._events = EventReader(bus, encoder=True)

    def poll(self) -> list[DeviceEvent]:
        """Events since the last call, in order; ``kind`` and ``encoder`` as the driver's."""
        return self._events.read()

    def start_belt(self) -> None:
        """Let the belt run."""
        self._ask(DeviceCommand(action="belt_start"))

    def stop_belt(self) -> None:
        """Stop the belt."""
        self._ask(DeviceCommand(action="belt_stop"))


class RemoteTube(_Remote):
    """The x-ray generator."""

    def status(self) -> DeviceState:
        """State, kV, mA, fault."""
        return self._state("tube")

    def warm_up(self) -> None:
        """Heat and wait until it is ready; no x-rays."""
        self._ask(DeviceCommand(action="warm_up"))

    def beam_on(self, kv: float = 0.0, ma: float = 0.0) -> None:
        """Switch on and wait until both are reached; 0 is what the configuration says."""
        self._ask(DeviceCommand(action="beam_on", kv=kv, ma=ma))

    def beam_off(self) -> None:
        """Switch off."""
        self._ask(DeviceCommand(action="beam_off"))
