"""``darklane calibrate``: the field routine on the lane's own devices, or on an emulated scanner."""

from __future__ import annotations

import getpass
import json
import platform
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from calibration import sequence
from calibration.bundle import Bundle
from calibration.certificate import Certificate, CertificateError, read
from calibration.devices import AXES, Devices
from calibration.manifest import DeviceIdentity, Manifest
from calibration.routine import Step
from calibration.session import Session
from calibration.steps import CalibrationError, Limits, Report, Settings
from edge.audit.log import recorded
from edge.commands import options
from edge.commands.beam import Beam
from edge.commands.calibrate_emulated import EmulatedRun
from edge.commands.calibrate_view import View, print_report, print_summary
from edge.commands.options import ConfigOption, JsonOption, StateDirOption, configuration, fail
from edge.config import Config
from edge.emulated import EmulatorError
from firmware_bridge.belt import BeltController, BeltError, LinkError
from firmware_bridge.detector import DetectorError, DetectorStream
from firmware_bridge.motion import AxisError, open_axes
from firmware_bridge.tube import TubeError

_UNCHANGED = "The calibration that was active stays so."


def calibrate(
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    json_: JsonOption = False,
    report: Annotated[bool, typer.Option(help="Write the report (HTML and PDF) into the session's folder.")] = True,
    full: Annotated[
        bool, typer.Option("--full", help="Also wedges, reference samples and the verification phantom.")
    ] = False,
    stepped: Annotated[
        bool, typer.Option("--stepped", help="Also the tray at rest under a stepped mask, against the moving scan.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Repeat every step of an interrupted run too.")] = False,
    emulate: Annotated[bool, typer.Option("--emulate", help="Start an emulated scanner for this run.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="With --emulate: which scanner.")] = 1,
    misaligned: Annotated[
        bool,
        typer.Option("--misaligned", help="With --emulate: mask out of place, 0.5 % bad pixels, tube that drifts."),
    ] = False,
) -> None:
    """Calibrate the lane: alignment, mask scan, curves, flat, reference tray. Takes about a minute.

    Before: stop the lane, clear the belt, put the reference tray on it before the light barrier, and close every
    door: this command switches the x-rays on. After: the beam is off, the new calibration is active. If a step fails,
    the one before stays active; a run that was interrupted within the last hour goes on where it stopped.
    """
    settings = configuration(config, state_dir)
    if misaligned and not emulate:
        fail("--misaligned is for the emulated scanner: add --emulate")
    steps = sequence.steps_of(full=full, stepped=stepped)
    view = View(options.console(stderr=json_))
    session: Session | None = None
    started = time.monotonic()
    try:
        with ExitStack() as stack:
            stack.enter_context(view)
            if emulate:
                settings = EmulatedRun.configuration(
                    settings, seed, misaligned=misaligned, apart=len(steps) > len(sequence.BASIC)
                )
            session = _session(settings, fresh, steps)
            if emulate:
                stack.enter_context(EmulatedRun(settings, session))
            bundle = _on_devices(settings, session, view, steps)
    except CalibrationError as error:
        if report and session is not None:
            print_report(view.console, session, settings.state_dir / "calibration")
        fail(f"{error}. {_UNCHANGED}", 1)
    except EmulatorError as error:
        fail(f"{error}\n{_UNCHANGED}", 1)
    except (DetectorError, BeltError, AxisError, TubeError, LinkError) as error:
        fail(f"{error}\nA device serves one program at a time: stop the lane first. {_UNCHANGED}", 1)
    except KeyboardInterrupt:
        fail(f"interrupted; the beam is off, the belt is stopped. {_UNCHANGED} Start again to go on", 130)
    folder = settings.state_dir / "calibration"
    try:
        with recorded(settings.state_dir, "calibrate", id=bundle.id, digest=bundle.digest):
            path = bundle.save(folder)
    except OSError as error:
        fail(f"{error}. {_UNCHANGED}", 1)
    session.record.bundle_id = bundle.id
    session.save()
    seconds = time.monotonic() - started
    exposures = sum(step.exposures for step in session.record.steps)
    if json_:
        values = {step.step: step.values for step in session.record.steps}
        summary = {"calibration_id": bundle.id, "file": str(path), "session": str(session.folder),
                   "seconds": round(seconds, 1), "exposures": exposures}  # fmt: skip
        typer.echo(json.dumps(summary | values))
    else:
        print_summary(view.console, session)
        line = f"{bundle.id} is active ({path}); {exposures} exposures, {seconds:.0f} s"
        view.console.print(line, highlight=False, soft_wrap=True, markup=False)
    if report:
        print_report(view.console, session, folder)


def _session(settings: Config, fresh: bool, steps: dict[str, Step]) -> Session:
    return sequence.session_for(
        settings.state_dir / "calibration",
        settings.scanner,
        steps=steps,
        settings=_settings(settings),
        limits=_limits(settings),
        about=_about(settings),
        fresh=fresh,
    )


def _settings(settings: Config) -> Settings:
    return Settings(working_point_um=settings.calibration.working_point_um, lead_air_mm=settings.belt.lead_air_mm)


def _limits(settings: Config) -> Limits:
    """The limits with those that the configuration overrides; ends the command on a name that there is not."""
    given = settings.calibration.limits
    unknown = sorted(given.keys() - Limits.__dataclass_fields__.keys())
    if unknown:
        fail(f"calibration.limits.{unknown[0]}: no such limit; there are {', '.join(Limits.__dataclass_fields__)}")
    return Limits(**given)  # type: ignore[arg-type]


def _on_devices(settings: Config, session: Session, view: View, steps: dict[str, Step]) -> Bundle:
    certificate = _certificate(settings) if "verification" in steps else None
    detector, scanner, motion = settings.detector, settings.scanner, settings.motion
    axes = {name: motion.axes[name].model_dump() for name in AXES}
    controllers = {
        name: {"protocol": table.protocol, "port": _port(settings, table.port)}
        for name, table in motion.controllers.items()
    }
    with (
        # First: while the tube warms up nobody takes the detector's frames.
        Beam(settings.device_path(settings.tube.port), scanner.tube_kv, scanner.tube_ma, view.say) as beam,
        open_axes(controllers, axes) as opened,
        BeltController(settings.device_path(settings.belt.port)) as belt,
        DetectorStream(
            detector.host,
            detector.port,
            settings.scanner.rows,
            buffer_mib=detector.receive_buffer_mib,
            fifo_priority=detector.fifo_priority,
        ) as stream,
    ):
        about = _about(settings)
        devices = {
            "belt controller": DeviceIdentity(serial=belt.name, firmware="{}.{}".format(*belt.firmware)),
            "x-ray generator": DeviceIdentity(firmware=beam.tube.firmware),
        }

        def progressed(progress: Report) -> None:
            beam.keep()
            view.report(progress)

        return sequence.calibrate(
            Devices(stream, opened, belt, beam),
            scanner,
            session,
            progressed,
            steps=steps,
            settings=_settings(settings),
            limits=_limits(settings),
            about=about.model_copy(update={"devices": devices}),
            certificate=certificate,
        )


def _certificate(settings: Config) -> Certificate:
    path = settings.calibration.phantom_certificate
    if path is None:
        fail("--full needs the phantom's certificate: set calibration.phantom_certificate to its file")
    try:
        return read(path, settings.scanner.tube_kv)
    except CertificateError as error:
        fail(str(error))


def _port(settings: Config, port: str) -> str:
    return port if port.startswith("tcp://") else str(settings.device_path(Path(port)))


def _about(settings: Config) -> Manifest:
    """Who calibrates what, for the bundle's manifest."""
    return Manifest(operator=getpass.getuser(), host=platform.node(), simulated=settings.emulator is not None)
