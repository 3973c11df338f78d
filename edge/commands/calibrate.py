"""``darklane calibrate``: the field routine on the lane's own devices."""

from __future__ import annotations

import getpass
import json
import platform
import time
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from calibration.bundle import Bundle
from calibration.first import calibrate as run_routine
from calibration.manifest import DeviceIdentity, Manifest
from calibration.steps import STEPS, CalibrationError, Report, Settings
from edge.commands import options
from edge.commands.beam import Beam
from edge.commands.options import ConfigOption, JsonOption, StateDirOption, configuration, fail
from edge.config import Config
from firmware_bridge.belt import BeltController, BeltError, LinkError
from firmware_bridge.detector import DetectorError, DetectorStream
from firmware_bridge.motion import AxisError, EspAxis
from firmware_bridge.tube import TubeError

_UNCHANGED = "The calibration that was active stays so."


def calibrate(config: ConfigOption = None, state_dir: StateDirOption = None, json_: JsonOption = False) -> None:
    """Calibrate the lane: mask scan, curves, flat, reference tray. Takes under a minute.

    Before: stop the lane, clear the belt, put the reference tray on it before the light barrier, and close every
    door: this command switches the x-rays on. After: the beam is off, the new calibration is active. If a step fails,
    the one before stays active.
    """
    settings = configuration(config, state_dir)
    view = _View(options.console(stderr=json_))
    started = time.monotonic()
    try:
        with view:
            bundle = _on_devices(settings, view)
    except CalibrationError as error:
        fail(f"{error}. {_UNCHANGED}", 1)
    except (DetectorError, BeltError, AxisError, TubeError, LinkError) as error:
        fail(f"{error}\nA device serves one program at a time: stop the lane first. {_UNCHANGED}", 1)
    except KeyboardInterrupt:
        fail(f"interrupted; the beam is off, the belt is stopped. {_UNCHANGED}", 130)
    path = bundle.save(settings.state_dir / "calibration")
    seconds = time.monotonic() - started
    if json_:
        typer.echo(
            json.dumps({"calibration_id": bundle.id, "file": str(path), "seconds": round(seconds, 1)} | view.values)
        )
        return
    view.console.print(_summary(view.values))
    exposures = view.values.get("prior", {}).get("exposures", 0)
    view.console.print(
        f"{bundle.id} is active ({path}); {exposures:.0f} exposures, {seconds:.0f} s",
        highlight=False, soft_wrap=True, markup=False,
    )  # fmt: skip


def _on_devices(settings: Config, view: _View) -> Bundle:
    detector, m1_x = settings.detector, settings.motion.axes["m1_x"]
    scanner = settings.scanner
    with (
        # First: while the tube warms up nobody takes the detector's frames.
        Beam(settings.device_path(settings.tube.port), scanner.tube_kv, scanner.tube_ma, view.say) as beam,
        DetectorStream(
            detector.host,
            detector.port,
            settings.scanner.rows,
            buffer_mib=detector.receive_buffer_mib,
            fifo_priority=detector.fifo_priority,
        ) as stream,
        BeltController(settings.device_path(settings.belt.port)) as belt,
        EspAxis(settings.device_path(Path(settings.motion.controllers[m1_x.controller].port)), m1_x.axis) as mask,
    ):

        def report(progress: Report) -> None:
            beam.keep()
            view.report(progress)

        return run_routine(
            stream,
            mask,
            belt,
            settings.scanner,
            report,
            settings=Settings(
                working_point_um=settings.calibration.working_point_um, lead_air_mm=settings.belt.lead_air_mm
            ),
            about=_about(settings, belt),
        )


def _about(settings: Config, belt: BeltController) -> Manifest:
    """Who calibrates what, for the bundle's manifest."""
    return Manifest(
        operator=getpass.getuser(),
        host=platform.node(),
        simulated=settings.emulator is not None,
        devices={"belt controller": DeviceIdentity(serial=belt.name, firmware="{}.{}".format(*belt.firmware))},
    )


class _View:
    """One progress line per step, and what the steps measured."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.values: dict[str, Any] = {}
        self._progress = Progress(
            TextColumn("{task.fields[mark]} {task.description:<42}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _View:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        self._progress.console.print(f"  {text}", highlight=False, soft_wrap=True, markup=False)

    def report(self, report: Report) -> None:
        if report.step not in self._tasks:
            self._tasks[report.step] = self._progress.add_task(STEPS[report.step], total=1.0, mark=" ")
        task = self._tasks[report.step]
        self._progress.update(task, completed=report.fraction)
        if report.fraction >= 1:
            self._progress.update(task, mark="[green]✓[/]")
            self.values[report.step] = report.values


def _summary(values: dict[str, Any]) -> Table:
    table = Table(title="What was measured", show_lines=False)
    table.add_column("step", no_wrap=True)
    table.add_column("values")
    for step, measured in values.items():
        listed = (f"{name.replace('_', ' ')} {value:.4g}" for name, value in measured.items())
        table.add_row(STEPS[step], ", ".join(listed))
    return table
