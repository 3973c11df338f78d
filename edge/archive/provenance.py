"""Where a bag's data came from: scanner, lane settings, software. Stored in every archive file."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import h5py

from edge.archive.layout import EMULATED, MEASURED
from edge.config import Config

_PACKAGES = ("darklane", "numpy", "h5py", "hdf5plugin", "pyzmq", "spead2", "pillow")
#: Tables that say what was computed. Paths, addresses and ports of this box stay out of the file.
_LANE_TABLES: dict[str, Any] = {
    "lane": {"name"},
    "belt": {"lead_air_mm", "max_bag_mm"},
    "retrieval": True,
    "calibration": True,
    "inference": True,
    "verdict": {"deadline_s", "diverter_mm"},
    "emulator": True,
}


@lru_cache(maxsize=1)
def software_versions() -> dict[str, str]:
    """Name → version of everything that can change the content of an archive file."""
    versions = {"python": platform.python_version(), "hdf5": h5py.version.hdf5_version}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed as a package"
    return versions


@dataclass(frozen=True)
class Provenance:
    """Text blocks (JSON) that go into each file of one lane."""

    kind: str
    lane_name: str
    scanner_json: str
    lane_json: str
    software_json: str


def describe(config: Config) -> Provenance:
    """Provenance of all bags scanned under ``config``; emulated as soon as an emulator is configured."""
    tables = config.model_dump(mode="json", exclude_none=True, include=_LANE_TABLES)
    return Provenance(
        kind=EMULATED if config.emulator is not None else MEASURED,
        lane_name=config.lane.name,
        scanner_json=config.scanner.model_dump_json(),
        lane_json=json.dumps(tables),
        software_json=json.dumps(software_versions()),
    )
