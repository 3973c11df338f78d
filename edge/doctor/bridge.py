"""What the bridge says of the devices: there or lost, in fault or not, and their firmware."""

from __future__ import annotations

from pathlib import Path

from edge.bridge.client import CommandClient, NoAnswerError
from edge.bus import Bus
from edge.doctor.finding import Finding
from edge.messages import DeviceCommand, DeviceState

SECTION = "bridge"
#: A bridge that runs answers at once.
TIMEOUT_S = 3.0
START = "systemctl start darklane.target (or darklane run)"


def ask(run_dir: Path) -> tuple[DeviceState, ...] | None:
    """The devices of the lane whose bus is in ``run_dir``; None when no bridge answers."""
    try:
        if not (run_dir / "commands").exists():
            return None
        bus = Bus(run_dir, "doctor")
    except (OSError, ValueError):
        # Not for this user, or no place for a socket: whoever cannot ask does not know.
        return None
    try:
        return CommandClient(bus).ask(DeviceCommand(action="status"), TIMEOUT_S).states
    except NoAnswerError:
        return None
    finally:
        bus.close()


def check(states: tuple[DeviceState, ...] | None) -> list[Finding]:
    """One line for each device of a running bridge."""
    if states is None:
        return [Finding(SECTION, "bridge", "grey", "no bridge runs; firmware versions are not known", START)]
    return [_device(state) for state in states]


def _device(state: DeviceState) -> Finding:
    versions = [text for text in (state.facts.get("firmware", ""), state.facts.get("found", "")) if text]
    said = ", ".join([state.state, *versions]) if state.state else ", ".join(versions)
    if not state.present:
        return Finding(SECTION, state.device, "red", f"lost: {state.detail}", "check its cable, power and port")
    if state.state == "fault":
        return Finding(
            SECTION,
            state.device,
            "red",
            f"{said}: {state.detail}",
            "remove the cause; see 'darklane device --help' for reset",
        )
    return Finding(SECTION, state.device, "green", said or "present")
