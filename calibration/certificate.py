"""The certificate that comes with a verification phantom: expected t and τ² of every block, per bin and kV (JSON)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from firmware_bridge.reference_strips import STRIPS
from firmware_bridge.scanner import BINS

F64 = npt.NDArray[np.float64]


class CertificateError(ValueError):
    """The file cannot be used; the message names it and what is wrong."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Block(_Part):
    material: str
    thickness_mm: float


class _Values(_Part):
    t: list[list[float]]
    dark_field_um2: list[list[float]]


class _File(_Part):
    simulated: bool
    source_object_m: float
    blocks: list[_Block]
    kv: dict[str, _Values]


@dataclass(frozen=True)
class Certificate:
    """``t`` and ``dark_field`` (µm² at M1, for objects in the nominal plane): (2 bins, n blocks)."""

    materials: tuple[str, ...]
    thickness_mm: tuple[float, ...]
    t: F64
    dark_field: F64


def read(path: Path, kv: int) -> Certificate:
    """The values for ``kv``; :class:`CertificateError` when the file is not one or is that of another phantom."""
    try:
        file = _File.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise CertificateError(f"phantom certificate {path}: cannot be used ({error})") from error
    blocks = tuple((block.material, block.thickness_mm) for block in file.blocks)
    if blocks != STRIPS["phantom"]:
        raise CertificateError(f"phantom certificate {path}: its blocks are not those of the phantom's drawing")
    if str(kv) not in file.kv:
        raise CertificateError(f"phantom certificate {path}: no values for {kv} kV, only for {', '.join(file.kv)}")
    values = [np.asarray(v, np.float64) for v in (file.kv[str(kv)].t, file.kv[str(kv)].dark_field_um2)]
    if any(v.shape != (len(BINS), len(blocks)) for v in values):
        raise CertificateError(f"phantom certificate {path}: needs {len(BINS)} bins of {len(blocks)} values")
    return Certificate(tuple(m for m, _ in blocks), tuple(z for _, z in blocks), values[0], values[1])
