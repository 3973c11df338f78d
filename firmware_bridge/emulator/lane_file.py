"""The part of the lane's TOML file that the emulated scanner reads.

[scanner], host and port of [detector], [detector_control], and [emulator].
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.scanner import Scanner

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - JetPack 6
    import tomli as tomllib


class LaneFileError(ValueError):
    """The file cannot be used; the message names the file and the key."""


class _Detector(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)
    host: str = "127.0.0.1"
    port: int = 7148


class DetectorControl(BaseModel):
    """The detector's command port, as far as the emulated detector needs it."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 7149


@dataclass(frozen=True)
class LaneFile:
    """What the emulator is told."""

    scanner: Scanner
    emulator: EmulatorSettings
    host: str
    port: int
    control: DetectorControl = field(default_factory=DetectorControl)


def read(path: Path | None) -> LaneFile:
    """Read ``path`` (None: all defaults); :class:`LaneFileError` names what is wrong with it."""
    try:
        table = {} if path is None else tomllib.loads(path.read_text(encoding="utf-8"))
        detector = _Detector.model_validate(table.get("detector", {}))
        return LaneFile(
            Scanner.model_validate(table.get("scanner", {})),
            EmulatorSettings.model_validate(table.get("emulator", {})),
            detector.host,
            detector.port,
            DetectorControl.model_validate(table.get("detector_control", {})),
        )
    except OSError as error:
        raise LaneFileError(f"{path}: cannot be read ({error.strerror}); give an existing file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LaneFileError(f"{path}: not valid TOML ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise LaneFileError(f"{path}: {error.title}: {key} = {first['input']!r}: {first['msg']}") from error
