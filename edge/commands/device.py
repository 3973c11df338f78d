"""``darklane device``: the devices of a running lane, through its bridge; every command is written into its audit."""

from __future__ import annotations

import json as json_text
from typing import Annotated

import typer
from rich.table import Table

from edge.bridge.client import CommandClient, NoAnswerError
from edge.bridge.safety import ALL_AXES
from edge.bus import Bus
from edge.commands import options
from edge.commands.options import ConfigOption, JsonOption, StateDirOption, configuration, fail
from edge.lane_devices import BEAM, limit_s
from edge.messages import Action, CommandReply, DeviceCommand, DeviceState

app = typer.Typer(help="Look at and command the devices of a running lane.", no_args_is_help=True)

#: A bridge that runs answers a question at once, s.
STATUS_S = 3.0
STATE_COLOURS = {"lost": "red", "fault": "bold red", "on": "magenta", "moving": "yellow", "warming": "yellow"}
AxisArgument = Annotated[str, typer.Argument(help="Name of the axis, as in [motion.axes].")]


def _ask(command: DeviceCommand, config: ConfigOption, state_dir: StateDirOption, timeout_s: float) -> CommandReply:
    settings = configuration(config, state_dir)
    if not settings.run_dir.is_dir():
        fail(f"{settings.run_dir} does not exist: no lane runs there; give its --config or --state-dir", 1)
    bus = Bus(settings.run_dir, "darklane device")
    try:
        return CommandClient(bus).ask(command, timeout_s)
    except NoAnswerError as error:
        fail(str(error), 1)
    finally:
        bus.close()


def _do(command: DeviceCommand, config: ConfigOption, state_dir: StateDirOption) -> None:
    reply = _ask(command, config, state_dir, limit_s(command))
    if not reply.ok:
        fail(reply.reason, 1)
    typer.echo(f"{command.action}: done")


@app.command()
def status(config: ConfigOption = None, state_dir: StateDirOption = None, json: JsonOption = False) -> None:
    """Show every device; exit code 1 when one is lost or in fault."""
    reply = _ask(DeviceCommand(action="status"), config, state_dir, STATUS_S)
    if json:
        devices = [state.model_dump() for state in reply.states]
        typer.echo(json_text.dumps({"devices": devices, "belt": reply.devices}, indent=2, ensure_ascii=False))
    else:
        console = options.console()
        console.print(table(reply.states))
        names = ("interlock", "estop", "belt_motion", "encoder", "open_bag")
        console.print(", ".join(f"{name} {reply.devices.get(name) or '-'}" for name in names), highlight=False)
    if any(not state.present or state.state == "fault" for state in reply.states):
        raise typer.Exit(1)


def table(states: tuple[DeviceState, ...]) -> Table:
    """One row per device."""
    shown = Table(box=None, pad_edge=False)
    for heading in ("device", "state", "values", "facts", "detail"):
        shown.add_column(heading, overflow="fold")
    for state in states:
        colour = STATE_COLOURS.get(state.state)
        word = f"[{colour}]{state.state}[/]" if colour else state.state or ("present" if state.present else "lost")
        values = ", ".join(f"{name} {value:.6g}" for name, value in state.values.items())
        facts = ", ".join(f"{name} {fact}" for name, fact in state.facts.items() if fact)
        detail = state.detail + (f" (busy: {state.busy})" if state.busy else "")
        shown.add_row(state.device, word, values, facts, detail)
    return shown


@app.command()
def move(
    axis: AxisArgument,
    target: Annotated[float, typer.Argument(help="Where to, in the unit of the axis (µm or mrad).")],
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Move one axis and wait until it stands. Refused while the belt runs or a bag is in the beam."""
    _do(DeviceCommand(action="move", device=axis, target=target), config, state_dir)


@app.command()
def home(axis: AxisArgument, config: ConfigOption = None, state_dir: StateDirOption = None) -> None:
    """Find the reference position of one axis. Refused while the belt runs or a bag is in the beam."""
    _do(DeviceCommand(action="home", device=axis), config, state_dir)


@app.command()
def stop(
    axis: Annotated[str, typer.Argument(help="Name of the axis; every axis when left out.")] = ALL_AXES,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Stop axes where they are."""
    _do(DeviceCommand(action="stop_motion", device=axis), config, state_dir)


@app.command(name="beam-on")
def beam_on(
    kv: Annotated[float, typer.Option("--kv", min=0, help="Tube voltage, kV.", show_default="[scanner]")] = 0.0,
    ma: Annotated[float, typer.Option("--ma", min=0, help="Tube current, mA.", show_default="[scanner]")] = 0.0,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Warm the tube up and switch the x-rays on. Refused while the interlock is open or the emergency stop in force."""
    for action in BEAM:
        _do(DeviceCommand(action=action, kv=kv, ma=ma), config, state_dir)


@app.command()
def lights(
    red: Annotated[bool, typer.Option("--red")] = False,
    amber: Annotated[bool, typer.Option("--amber")] = False,
    green: Annotated[bool, typer.Option("--green")] = False,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Show these lamps, until the state of the lane changes."""
    _do(DeviceCommand(action="lights", lights=(red, amber, green)), config, state_dir)


def _plain(name: str, action: Action, text: str) -> None:
    """A command without arguments."""

    def run(config: ConfigOption = None, state_dir: StateDirOption = None) -> None:
        _do(DeviceCommand(action=action), config, state_dir)

    run.__doc__ = text
    app.command(name=name, help=text)(run)


_plain("beam-off", "beam_off", "Switch the x-rays off. A bag in the beam ends as UNKNOWN, and the belt stops.")
_plain("warm-up", "warm_up", "Heat the tube; no x-rays.")
_plain("tube-reset", "tube_reset", "Clear the faults of the x-ray generator; the beam stays off.")
_plain("belt-start", "belt_start", "Let the belt run. Refused while an axis moves.")
_plain("belt-stop", "belt_stop", "Stop the belt.")
_plain("reset-estop", "reset_estop", "Take back the emergency stop once its button is out; starts nothing.")
_plain("detector-configure", "detector_configure", "Set the detector as the configuration says. Refused in a scan.")
_plain("detector-start", "detector_start", "Start the detector's packet stream.")
_plain("detector-stop", "detector_stop", "Stop the detector's packet stream. Refused in a scan.")
_plain("detector-reset", "detector_reset", "Clear the fault of the detector; its stream stays stopped.")
