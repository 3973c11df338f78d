"""What is known of every device, and which news are worth an event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edge.messages import DeviceEvent, DeviceEventKind, DeviceState

#: Why the beam is down when nobody wanted it and nothing is wrong: the bridge or the line to the generator was away.
CONNECTION = "the connection to the generator was interrupted"
#: State changes of these are remembered for readers that start later; an axis moves too often for that.
REMEMBERED = frozenset({"tube", "detector"})


@dataclass(frozen=True)
class Change:
    """News about one device."""

    event: DeviceEvent
    remember: bool
    #: The beam went down with this.
    beam_lost: bool = False


class Board:
    """State of every device by name. ``connections``: the devices behind each connection."""

    def __init__(self, connections: Mapping[str, tuple[str, ...]], *, beam_was_on: bool = False) -> None:
        self._connections = dict(connections)
        self._states = {
            unit: DeviceState(device=unit, present=False, state="unknown", detail="not opened yet")
            for units in connections.values()
            for unit in units
        }
        self._reasons = dict.fromkeys(connections, "not opened yet")
        self.beam_on = beam_was_on
        self._beam_order = ""
        self.beam_down_because = ""

    @property
    def lost(self) -> dict[str, str]:
        """Connections that are not there, with the reason."""
        return {name: reason for name, reason in self._reasons.items() if reason}

    def state(self, device: str) -> DeviceState | None:
        """One device; None when the lane has none of that name."""
        return self._states.get(device)

    def moving(self) -> tuple[str, ...]:
        """Axes that move."""
        return tuple(name for name, state in self._states.items() if state.present and state.state == "moving")

    def beam_ordered(self, why: str) -> None:
        """Somebody commands the beam off, for this reason; empty: on."""
        self._beam_order = why

    def found(self, name: str, detail: str) -> None:
        """The connection ``name`` was opened; its devices say the rest."""
        self._reasons[name] = ""
        for unit in self._connections[name]:
            known = self._states[unit]
            self._states[unit] = known.model_copy(
                update={"present": True, "state": "", "detail": "", "facts": {"found": detail}}
            )

    def gone(self, name: str, reason: str) -> None:
        """The connection ``name`` is not there."""
        self._reasons[name] = reason
        for unit in self._connections[name]:
            self._states[unit] = DeviceState(device=unit, present=False, state="lost", detail=reason)

    def heard(self, states: Iterable[DeviceState], t_ns: int) -> list[Change]:
        """Take the states that a device told; returns the news among them."""
        changes = []
        for state in states:
            before, self._states[state.device] = self._states[state.device], state
            beam_lost = self._beam(state) if state.device == "tube" else False
            same = (before.state, before.detail, before.facts.get("interlock")) == (
                state.state,
                state.detail,
                state.facts.get("interlock"),
            )
            if same and not beam_lost:
                continue
            because = f"the beam is down: {self.beam_down_because}" if beam_lost else ""
            event = DeviceEvent(
                kind=DeviceEventKind.DEVICE_STATE,
                device=state.device,
                event_t_ns=t_ns,
                state=state.state,
                detail=state.detail or because,
                beam_on=state.state == "on" if state.device == "tube" else None,
                interlock_closed=_closed(state),
            )
            remember = state.device in REMEMBERED or "fault" in (state.state, before.state)
            changes.append(Change(event, remember, beam_lost))
        return changes

    def snapshot(self, busy: Mapping[str, str], belt: Mapping[str, str]) -> tuple[DeviceState, ...]:
        """Every device, with what it carries out. ``belt``: what is known of the belt from its events."""
        shown = []
        for name, state in self._states.items():
            facts = dict(state.facts)
            if name == "tube" and not self.beam_on and self.beam_down_because:
                facts["beam_down_because"] = self.beam_down_because
            word = state.state
            if name == "belt" and state.present:
                word = belt["belt_motion"]
                facts |= {known: belt[known] for known in ("interlock", "estop", "encoder", "open_bag")}
            shown.append(state.model_copy(update={"state": word, "busy": busy.get(name, ""), "facts": facts}))
        return tuple(shown)

    def _beam(self, state: DeviceState) -> bool:
        """Follow the beam; True when it has just gone down."""
        was_on, self.beam_on = self.beam_on, state.state == "on"
        if self.beam_on:
            self.beam_down_because = ""
        if not was_on or self.beam_on:
            return False
        if state.detail:
            self.beam_down_because = state.detail
        elif self._beam_order:
            self.beam_down_because = self._beam_order
        elif state.facts.get("interlock") == "open":
            self.beam_down_because = "the interlock of the generator was opened"
        else:
            self.beam_down_because = CONNECTION
        return True


def _closed(state: DeviceState) -> bool | None:
    interlock = state.facts.get("interlock")
    return None if interlock is None else interlock == "closed"
