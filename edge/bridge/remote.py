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
    """One axis, µm or mrad; ``NoAnswerError`` when there is no bridge, :class:`RemoteError` when it will not."""

    def __init__(self, client: CommandClient, name: str) -> None:
        super().__init__(client)
        self.name = name

    def position(self) -> float:
        """Where it stands: read back from the controller after the last move."""
        return self._state(self.name).values["position"]

    def move_to(self, target: float) -> None:
        """Move to ``target`` and return when it stands there."""
        self._ask(DeviceCommand(action="move", device=self.name, target=target))

    def limits(self) -> tuple[float, float]:
        """Soft limits: lowest and highest place it may be sent to."""
        values = self._state(self.name).values
        return values["lower"], values["upper"]

    def position_um(self) -> float:
        """:meth:`position` of an axis in µm."""
        return self.position()

    def move_to_um(self, x: float) -> None:
        """:meth:`move_to` of an axis in µm."""
        self.move_to(x)

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
    """The x-ray generator. ``ma``: the current of :meth:`on`, mA; 0 is the scanner's."""

    def __init__(self, client: CommandClient, ma: float = 0.0) -> None:
        super().__init__(client)
        self._ma = ma

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

    def on(self, part: float = 1.0) -> None:
        """Warm up if needed and switch on, with ``part`` of the current; a part needs ``ma``."""
        if part != 1.0 and not self._ma:
            raise ValueError(f"part = {part}: give RemoteTube the full current")
        if self.status().state == "on":
            self.beam_off()
        self.warm_up()
        self.beam_on(ma=part * self._ma)

    def off(self) -> None:
        """Switch off; returns when no more x-rays come."""
        self.beam_off()

    def kilovolts(self) -> float:
        """Measured voltage, kV."""
        return self.status().values["kv"]
