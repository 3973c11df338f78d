"""A bundle from recorded arrays, whoever recorded them: the field routine, an archive, or a simulation."""

from __future__ import annotations

import time
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import numpy.typing as npt

from calibration import curves as curve_step
from calibration.bundle import Bundle, References
from calibration.linearity import Linearisation
from calibration.manifest import Manifest
from calibration.pixels import U8, group_means, live_rows
from calibration.steps import Limits
from firmware_bridge.scanner import BINS, COLUMNS, Scanner
from kernels.types import IlluminationCurves, OffsetPrior

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


def build_bundle(
    scanner: Scanner,
    *,
    positions_um: F64,
    scan: F32,
    flat: F32,
    prior: OffsetPrior,
    working_point_um: float,
    good: U8 | None = None,
    frames_per_position: int = 12,
    limits: Limits | None = None,
    created_ns: int | None = None,
) -> Bundle:
    """Fit equation (1) to ``scan``, check the working point, and put everything into a :class:`Bundle`.

    ``positions_um`` (P,); ``scan`` (P, 2, rows, 128) and ``flat`` (2, rows, 128): mean counts per frame in air, the
    flat at ``working_point_um``; ``good`` (2, rows, 128) uint8, default all. ``frames_per_position`` weighs the fit.
    Raises :class:`~calibration.steps.CalibrationError` as the field routine does, ValueError on wrong shapes.
    """
    limits = limits or Limits()
    shape = (len(BINS), scanner.rows, COLUMNS)
    if flat.shape != shape or scan.shape != (len(positions_um), *shape):
        raise ValueError(f"flat {flat.shape} and scan {scan.shape} do not fit {len(positions_um)} positions of {shape}")
    good = np.ones(shape, np.uint8) if good is None else good
    fitted = curve_step.fit(
        positions_um, group_means(scan, good), good,
        frames_per_position=frames_per_position, scanner=scanner, limits=limits,
    )  # fmt: skip
    curve_step.check_working_point(fitted.full, working_point_um, limits)
    return assemble(
        scanner,
        curves=fitted.full,
        curves_paper=fitted.paper,
        flat=flat,
        good=good,
        prior=prior,
        working_point_um=working_point_um,
        created_ns=created_ns,
    )


def assemble(
    scanner: Scanner,
    *,
    curves: IlluminationCurves,
    curves_paper: IlluminationCurves,
    flat: F32,
    good: U8,
    prior: OffsetPrior,
    working_point_um: float,
    created_ns: int | None = None,
    manifest: Manifest | None = None,
    linearisation: Linearisation | None = None,
    references: References | None = None,
) -> Bundle:
    """Put measured parts into a bundle; rows without enough good pixels are masked as a whole."""
    usable = good * live_rows(good)[None, :, None].astype(np.uint8)
    return Bundle(
        curves=curves,
        curves_paper=curves_paper,
        flat=np.ascontiguousarray(flat, dtype=np.float32),
        good_pixels=np.ascontiguousarray(usable),
        prior=prior,
        working_point_um=float(working_point_um),
        scanner_json=scanner.model_dump_json(),
        created_ns=time.time_ns() if created_ns is None else created_ns,
        software=software(),
        manifest=manifest or Manifest(tube_kv=scanner.tube_kv),
        linearisation=linearisation,
        references=references,
    )


def software() -> str:
    """Name and version of this software, as stored in a bundle."""
    try:
        return f"darklane {version('darklane')}"
    except PackageNotFoundError:
        return "darklane (not installed)"
