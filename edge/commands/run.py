"""``darklane run``: the services of one lane on real devices or on the emulated scanner."""

from __future__ import annotations

from typing import Annotated

import typer

from edge.commands import options
from edge.commands.demo import DEMO_MARK
from edge.commands.options import ConfigOption, StateDirOption, configuration, fail
from edge.emulated import EmulatorError
from edge.lane import Lane, LaneError
from edge.lane_view import follow


def run(
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    emulate: Annotated[bool, typer.Option("--emulate", help="Use the emulated scanner instead of devices.")] = False,
    plan: Annotated[
        str,
        typer.Option("--plan", help="With --emulate: which bags come; a shipped plan's name or a JSON file."),
    ] = "demo",
    faults: Annotated[
        str | None,
        typer.Option(
            "--faults",
            help="With --emulate: what fails; a shipped scenario or a TOML file, several separated by commas. "
            "The lane then also plays the person who resets and starts again.",
        ),
    ] = None,
) -> None:
    """Run the lane until Ctrl-C (or, emulated, until the plan's last bag has its verdict).

    Services that die are restarted; their logs are in <state-dir>/log. With --emulate and no valid calibration
    the lane calibrates itself first. Without a valid calibration every bag is UNKNOWN. On devices this command switches
    the x-rays on, as soon as the services are ready.
    """
    if faults is not None and not emulate:
        fail("--faults is for the emulated scanner: add --emulate")
    console = options.console()
    settings = configuration(config, state_dir)
    (settings.state_dir / DEMO_MARK).unlink(missing_ok=True)  # from now on it holds more than a demo

    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True, markup=False)

    try:
        with Lane(settings, emulate=emulate, plan=plan, say=say, faults=faults) as lane:
            console.print(f"state in {settings.state_dir}; press Ctrl-C to stop", highlight=False)
            try:
                follow(lane, console)
            except KeyboardInterrupt:
                console.print("stopping")
    except (LaneError, EmulatorError, RuntimeError, ValueError) as error:
        fail(str(error), 1)
