"""The lane's one TOML file, validated at start; every error names the offending key."""

from __future__ import annotations

import ipaddress
import json
import re
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from firmware_bridge.scanner import Scanner

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - JetPack 6
    import tomli as tomllib


class ConfigError(ValueError):
    """The configuration file cannot be used; the message says which key and what to do."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Lane(_Table):
    """Table ``[lane]``."""

    name: str = Field("lane-1", min_length=1, max_length=64)
    state_dir: Path = Field(Path("lane-run"), description="journal, spool, archive, calibration live here")
    run_dir: Path | None = Field(None, description="ipc sockets; default <state_dir>/run")


class Detector(_Table):
    """Table ``[detector]``: the SPEAD stream."""

    host: str = "127.0.0.1"
    port: int = Field(7148, ge=0, le=65535)
    receive_buffer_mib: int = Field(64, ge=1, le=1024)
    fifo_priority: int = Field(20, ge=0, le=99, description="SCHED_FIFO priority of the receiver thread; 0 = normal")


class Belt(_Table):
    """Table ``[belt]``: the belt and interlock controller."""

    port: Path = Field(Path("dev/belt"), description="serial device; relative paths are below state_dir")
    usb: Usb | None = Field(None, description="find the controller by its USB ids instead of by port")
    lead_air_mm: float = Field(6.0, gt=0, description="air recorded before and after each bag, mm")
    max_bag_mm: float = Field(320.0, gt=0, description="longer bags end as OversizeBag")


class Usb(_Table):
    """How a USB device is recognised, whatever port it is in; hexadecimal ids as `lsusb` prints them."""

    vendor: str = Field(pattern=r"^[0-9a-f]{4}$")
    product: str = Field(pattern=r"^[0-9a-f]{4}$")
    serial: str = Field("", max_length=128, description="empty: any serial number")


class Controller(_Table):
    """One entry of ``[motion.controllers]``: a motion controller with several axes."""

    protocol: Literal["esp", "aries"] = Field(description="Newport ESP or Kohzu ARIES")
    port: str = Field(description="serial device (relative paths are below state_dir) or tcp://host:port")


class AxisTable(_Table):
    """One entry of ``[motion.axes]``. Positions are in µm (translations) or mrad (rotations)."""

    controller: str = Field(description="name of an entry of [motion.controllers]")
    axis: int = Field(ge=1, le=32)
    unit: Literal["um", "mrad"] = "um"
    lower: float = Field(description="soft limit; moves beyond it are refused before they are sent")
    upper: float
    steps_per_unit: float = Field(1.0, gt=0, description="controllers that count pulses (ARIES): pulses per unit")


def _controllers() -> dict[str, Controller]:
    return {
        "esp-1": Controller(protocol="esp", port="dev/esp-1"),
        "esp-2": Controller(protocol="esp", port="dev/esp-2"),
        "aries": Controller(protocol="aries", port="dev/aries"),
    }


def _axes() -> dict[str, AxisTable]:
    def mask(number: int) -> dict[str, AxisTable]:
        esp, turn = f"esp-{number}", {"unit": "mrad", "lower": -20.0, "upper": 20.0, "steps_per_unit": 1000.0}
        shift = {"lower": -500.0, "upper": 500.0}
        return {
            f"m{number}_x": AxisTable.model_validate({"controller": esp, "axis": 1, **shift}),
            f"m{number}_z": AxisTable.model_validate({"controller": esp, "axis": 2, **shift}),
            f"m{number}_rot_z": AxisTable.model_validate({"controller": "aries", "axis": 2 * number - 1, **turn}),
            f"m{number}_rot_x": AxisTable.model_validate({"controller": "aries", "axis": 2 * number, **turn}),
        }

    sample = AxisTable(controller="esp-1", axis=3, lower=-300_000.0, upper=300_000.0)
    return {**mask(1), **mask(2), "sample_x": sample}


class Motion(_Table):
    """Table ``[motion]``: two mask stacks (x, z, rotations about z and x) and the sample translator."""

    controllers: dict[str, Controller] = Field(default_factory=_controllers)
    axes: dict[str, AxisTable] = Field(default_factory=_axes)

    @model_validator(mode="after")
    def _axes_have_controllers(self) -> Motion:
        for name, axis in self.axes.items():
            if axis.controller not in self.controllers:
                raise ValueError(f"axes.{name}.controller = {axis.controller!r} is not in [motion.controllers]")
            if not axis.lower < axis.upper:
                raise ValueError(f"axes.{name}: lower = {axis.lower} must be below upper = {axis.upper}")
        return self


class Tube(_Table):
    """Table ``[tube]``: the x-ray generator. Voltage and current are those of ``[scanner]``."""

    port: Path = Field(Path("dev/tube"), description="serial device; relative paths are below state_dir")


class DetectorControl(_Table):
    """Table ``[detector_control]``: the detector's command port; its packet stream is ``[detector]``."""

    enabled: bool = Field(True, description="False: the detector streams by itself, nobody configures it")
    host: str = "127.0.0.1"
    port: int = Field(7149, ge=0, le=65535)


class Retrieval(_Table):
    """Table ``[retrieval]``."""

    model: Literal["paper", "full", "map"] = "map"
    backend: Literal["auto", "host", "cuda"] = "auto"
    slab_columns: int = Field(64, ge=8, le=256)
    threads: int = Field(1, ge=1, le=64)


class Calibration(_Table):
    """Table ``[calibration]``."""

    working_point_um: float = Field(-5.0, description="x0: where the sample mask stands during a scan, µm")
    max_age_h: float = Field(24.0, gt=0)
    phantom_certificate: Path | None = Field(None, description="of the verification phantom, for 'calibrate --full'")
    limits: dict[str, float | tuple[float, float]] = Field(
        default_factory=dict, description="limits of 'darklane calibrate' that differ from calibration/steps.py"
    )
    correct_drift: bool = Field(True, description="take the drift seen in the air before a bag out of its images")
    recalibrate_air_scale: float = Field(0.12, gt=0, description="tube output off by more: a new calibration is due")
    recalibrate_mask_shift_um: float = Field(2.5, gt=0, description="masks shifted by more: a new one is due")
    recalibrate_broadening_um2: float = Field(10.0, gt=0, description="curves broader by more: a new one is due")
    max_air_scale: float = Field(0.2, gt=0, lt=1, description="tube output off by more: EXPIRED")
    max_mask_shift_um: float = Field(5.0, gt=0, description="masks shifted by more: EXPIRED")
    max_broadening_um2: float = Field(20.0, gt=0, description="curves broader by more: EXPIRED")
    max_output_change: float = Field(0.03, gt=0, description="tube output before and after one bag, as a fraction")
    max_shift_change_um: float = Field(1.0, gt=0, description="masks before and after one bag")


class Inference(_Table):
    """Table ``[inference]``."""

    threshold: float | None = Field(None, ge=0, le=1, description="None: the one the model was fitted with")
    min_area_mm2: float = Field(60.0, gt=0, description="smaller regions are not judged")
    runtime: Literal["auto", "onnxruntime", "tensorrt"] = Field("auto", description="what executes the network")
    threads: int = Field(0, ge=0, le=64, description="of the network, on a CPU; 0: two, or one on a single core")


class VerdictTable(_Table):
    """Table ``[verdict]``."""

    deadline_s: float = Field(60.0, gt=0, description="after bag entry; then UNKNOWN/Timeout")
    diverter_mm: float = Field(1500.0, gt=0, description="travel from the entry barrier to the diverter")


class Gateway(_Table):
    """Table ``[gateway]``: what other computers read. An empty address: nothing is offered there."""

    enabled: bool = True
    feed: str = Field("", description="PUB, e.g. tcp://0.0.0.0:7150: every message of the feed")
    requests: str = Field("", description="ROUTER, e.g. tcp://0.0.0.0:7151: snapshot, replay, image, calibration")
    karabo: str = Field("", description="karabo-bridge REP, e.g. tcp://0.0.0.0:7152")
    karabo_pub: str = Field("", description="karabo-bridge PUB, e.g. tcp://0.0.0.0:7153")
    curve: bool = Field(True, description="encrypt, and admit allowed keys only; False is for loopback addresses")
    requests_per_s: float = Field(10.0, gt=0, le=1000, description="per client and second; bursts of twice as many")

    @property
    def addresses(self) -> dict[str, str]:
        """The addresses in use, by key."""
        keys = ("feed", "requests", "karabo", "karabo_pub")
        return {key: address for key in keys if (address := str(getattr(self, key)))}

    @model_validator(mode="after")
    def _addresses_are_safe(self) -> Gateway:
        for key, address in self.addresses.items():
            match = _TCP.fullmatch(address)
            if match is None:
                raise ValueError(f"{key} = {address!r}: give tcp://address:port, with a number or * for the address")
            if not self.curve and not _is_loopback(match["host"]):
                raise ValueError(
                    f"{key} = {address!r} can be reached from other computers, and curve = false lets everybody in; "
                    "set curve = true, or give a loopback address (tcp://127.0.0.1:PORT)"
                )
        return self


#: "*" as port: any free one.
_TCP = re.compile(r"tcp://(?P<host>\[[0-9a-fA-F:.]+\]|[0-9.]+|\*):(?P<port>[0-9]{1,5}|\*)")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Archive(_Table):
    """Table ``[archive]``."""

    enabled: bool = True
    sheets: bool = Field(True, description="a PNG sheet per bag")


class Dicos(_Table):
    """Table ``[dicos]``: DICOS files of each bag, for other screening systems."""

    enabled: bool = False
    folder: Path = Field(Path("dicos"), description="where they are written; relative paths are below state_dir")
    push: str = Field(
        "",
        pattern=r"^$|^[^@\s\\]{1,16}@[^@\s:]+:\d{1,5}$",
        description="application entity that they are sent to, TITLE@host:port, unencrypted; empty: nobody",
    )
    ae_title: str = Field("DARKLANE", min_length=1, max_length=16, description="our own title when sending")


class Metrics(_Table):
    """Table ``[metrics]``: numbers for Prometheus, on loopback only."""

    enabled: bool = False
    port: int = Field(9780, ge=0, le=65535, description="http://127.0.0.1:PORT/metrics; 0: any free one")


class Config(_Table):
    """The whole file. ``[emulator]`` belongs to the emulated scanner and is passed by unread."""

    lane: Lane = Lane()
    scanner: Scanner = Scanner()
    detector: Detector = Detector()
    belt: Belt = Belt()
    motion: Motion = Motion()
    tube: Tube = Tube()
    detector_control: DetectorControl = DetectorControl()
    retrieval: Retrieval = Retrieval()
    calibration: Calibration = Calibration()
    inference: Inference = Inference()
    verdict: VerdictTable = VerdictTable()
    archive: Archive = Archive()
    dicos: Dicos = Dicos()
    gateway: Gateway = Gateway()
    metrics: Metrics = Metrics()
    emulator: dict[str, Any] | None = Field(None, description="present: what this lane scans is simulated")

    @property
    def state_dir(self) -> Path:
        """Where everything that must survive a restart lives."""
        return self.lane.state_dir

    @property
    def run_dir(self) -> Path:
        """Where the ipc sockets live."""
        return self.lane.run_dir or self.state_dir / "run"

    def device_path(self, port: Path) -> Path:
        """Absolute device paths stay; relative ones lie below the state directory."""
        return port if port.is_absolute() else self.state_dir / port


def load(path: Path | None) -> Config:
    """Read and validate ``path`` (None: all defaults). Raises :class:`ConfigError` naming file and key."""
    if path is None:
        return Config()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"configuration {path}: cannot be read ({error.strerror}); give an existing file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration {path}: not valid TOML ({error})") from error
    try:
        return Config.model_validate(table)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"])
            lines.append(f"  {key} = {item['input']!r}: {item['msg']}")
        raise ConfigError(f"configuration {path} has {len(lines)} bad key(s):\n" + "\n".join(lines)) from error


def dump(config: Config) -> str:
    """TOML text of ``config`` that :func:`load` reads back to the same value (None is left out)."""
    tables = config.model_dump(mode="json", exclude_none=True)
    lines: list[str] = []
    for name, table in tables.items():
        _dump_table(lines, name, table)
    return "\n".join(lines) + "\n"


def _dump_table(lines: list[str], name: str, table: dict[str, Any]) -> None:
    lines.append(f"[{name}]")
    for key, value in table.items():
        if not isinstance(value, dict):
            # Strings, numbers, booleans and arrays of them are written the same in JSON and in TOML.
            lines.append(f"{key} = {json.dumps(value)}")
    lines.append("")
    for key, value in table.items():
        if isinstance(value, dict):
            _dump_table(lines, f"{name}.{key}", value)
