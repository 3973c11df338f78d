"""Slabs of phase sums in, slabs of images out: the computing part of the retrieval service, without sockets.

For each bag: load its calibration, normalise by the flat (physics.md 4), measure the tube output in the lead-in
air, retrieve, forward. What cannot be retrieved ends the bag with one last message that names the fault.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

import kernels
from calibration.bundle import Bundle
from edge.config import Config
from edge.messages import CHANNELS, Arrays, Drift, Fault, ImageSlab, Slab
from edge.retrieval.air import AirError
from edge.retrieval.buffers import ResultBuffers
from edge.retrieval.calibration import CalibrationStore, UnusableError
from edge.retrieval.drift import AirState, DriftMonitor, DriftTooLargeError, Normalised, Optics
from firmware_bridge.scanner import BINS, GROUPS

#: Bags whose end never came are forgotten after this many younger ones.
MAX_OPEN_BAGS = 16

F32 = npt.NDArray[np.float32]
Output = tuple[ImageSlab, Arrays]


class _Flat(NamedTuple):
    """What one calibration gives to every slab of a bag."""

    bundle: Bundle
    optics: Optics


@dataclass
class _Bag:
    """What is remembered of one bag between its slabs."""

    next_index: int = 0
    ignored: bool = False
    flat: _Flat | None = None
    optics: Optics | None = None
    air: AirState | None = None
    drift: Drift | None = None
    backend: str = ""

    @property
    def air_scale(self) -> tuple[float, float]:
        """Tube output over that of the calibration, per bin."""
        return (1.0, 1.0) if self.air is None else self.air.output


@dataclass
class _Retrieved:
    images: F32
    sigma: F32
    flags: npt.NDArray[np.uint16]


class _GiveUpError(Exception):
    """This bag cannot be retrieved; carries the fault for the verdict and a sentence for the log."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


@dataclass
class RetrievalEngine:
    """Turns each :class:`Slab` into at most one :class:`ImageSlab`; never raises on a bad slab."""

    config: Config
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("retrieval"))

    def __post_init__(self) -> None:
        scanner = self.config.scanner
        self._store = CalibrationStore(
            self.config.state_dir / "calibration", scanner, self.config.calibration.max_age_h
        )
        self._bags: OrderedDict[tuple[str, str], _Bag] = OrderedDict()
        self._row_pitch_um = scanner.row_pitch_um
        self._flat: _Flat | None = None
        self._drift = DriftMonitor(self.config)
        self._buffers = ResultBuffers(scanner.rows, self.config.retrieval.slab_columns)

    def warm_up(self) -> str:
        """Retrieve one slab of air, so that a missing backend shows at start. Returns its name.

        The slab is as large as any that comes later: a GPU compiles here and takes all the memory that it will need.
        """
        rows, columns = self.config.scanner.rows, self.config.retrieval.slab_columns
        one = np.ones((2, rows, 4), np.float32)
        centre = one * np.asarray([75.0 * g + d for g, d in enumerate(self.config.scanner.m1_shifts_um)], np.float32)
        curves = kernels.IlluminationCurves(100 * one, centre, 12 * one, np.ones((2, rows), np.float32))
        x0_um = self.config.calibration.working_point_um
        air = kernels.flat_model(curves, x0_um, "full")[..., None] * np.float32(1000)
        samples = np.repeat(air, columns, axis=-1)
        return kernels.retrieve(
            samples, curves, x0_um, exposure=1000.0, model="full", backend=self.config.retrieval.backend
        ).backend

    def process(self, slab: Slab, arrays: Arrays) -> Output | None:
        """Image slab and its arrays for one slab; None when the rest of a given-up bag is ignored.

        ``arrays``: phase_sums float32 (4, 2, rows, columns), weights and weights_sq float32 (128, columns). The arrays
        that are returned hold until the next call, which overwrites them.
        """
        started = time.perf_counter()
        key = (slab.bag_id, slab.scan_id)
        bag = self._bags.get(key)
        if bag is None:
            bag = self._bags[key] = _Bag()
            if len(self._bags) > MAX_OPEN_BAGS:
                self._bags.popitem(last=False)
        try:
            if bag.ignored:
                return None
            result = self._retrieve(bag, slab, arrays)
            message = self._message(slab, bag, last=slab.last, columns=slab.columns)
        except _GiveUpError as reason:
            self.log.warning("bag %s slab %d: %s (%s)", slab.bag_id, slab.index, reason, reason.fault.value)
            return self._give_up(slab, bag, reason.fault)
        except Exception:
            # One bag that cannot be computed must not take the lane down; the verdict will be UNKNOWN.
            self.log.exception("bag %s slab %d: retrieval failed", slab.bag_id, slab.index)
            return self._give_up(slab, bag, Fault.FAILED_RECON)
        finally:
            if slab.last:
                self._bags.pop(key, None)
        message = message.model_copy(update={"retrieval_ms": (time.perf_counter() - started) * 1e3})
        return message, {"images": result.images, "sigma": result.sigma, "flags": result.flags}

    def _retrieve(self, bag: _Bag, slab: Slab, arrays: Arrays) -> _Retrieved:
        if slab.fault is not None:
            # Even when slabs before it are missing: a full disk kept them.
            raise _GiveUpError(slab.fault, "given up by the readout")
        if slab.index != bag.next_index:
            raise _GiveUpError(Fault.SERVICE_RESTART, f"expected slab {bag.next_index} of this bag")
        bag.next_index += 1
        if bag.flat is None:
            bag.flat = self._calibration(slab)
        flat = bag.flat
        if slab.columns == 0:
            return _empty(slab.rows)
        data = Normalised(
            *kernels.normalise(*_checked(slab, arrays), flat.bundle.flat, flat.bundle.good_pixels, flat.optics.modelled)
        )
        try:
            if slab.index == 0:
                bag.air, bag.drift, curves = self._drift.before(slab, data, flat.optics)
                bag.optics = replace(flat.optics, curves=curves)
            assert bag.optics is not None
            assert bag.air is not None
            if slab.last:
                self._drift.after(slab, data, bag.optics, bag.air)
        except AirError as error:
            raise _GiveUpError(Fault.INCOMPLETE_SCAN, str(error)) from error
        except DriftTooLargeError as error:
            raise _GiveUpError(Fault.CALIBRATION_EXPIRED, str(error)) from error
        scale = np.asarray(bag.air_scale if self.config.calibration.correct_drift else (1.0, 1.0), np.float32)
        # Var(S/a) = Var(S)/a²: per unit of the divided counts the variance factor shrinks by a.
        retrieved = kernels.retrieve(
            data.samples / scale[None, :, None, None],
            bag.optics.curves,
            bag.optics.working_point_um,
            exposure=data.exposure,
            variance_factor=data.variance_factor / np.float32(scale.mean()),
            model=self.config.retrieval.model,
            prior=bag.optics.prior,
            backend=self.config.retrieval.backend,
            threads=self.config.retrieval.threads,
            out=self._buffers.of(slab.rows, slab.columns),
        )
        bag.backend = retrieved.backend
        return _Retrieved(retrieved.images, retrieved.sigma, retrieved.flags)

    def _calibration(self, slab: Slab) -> _Flat:
        try:
            bundle = self._store.for_bag(slab)
        except UnusableError as error:
            raise _GiveUpError(Fault.CALIBRATION_EXPIRED, str(error)) from error
        if self._flat is None or self._flat.bundle is not bundle:
            paper = self.config.retrieval.model == "paper"
            curves = bundle.curves_paper if paper else bundle.curves
            modelled = kernels.flat_model(curves, bundle.working_point_um, "paper" if paper else "full")
            prior = bundle.prior if self.config.retrieval.model == "map" else None
            self._flat = _Flat(bundle, Optics(curves, modelled, bundle.working_point_um, prior))
        return self._flat

    def _give_up(self, slab: Slab, bag: _Bag, fault: Fault) -> Output:
        bag.ignored = True
        empty = _empty(slab.rows)
        message = self._message(slab, bag, last=True, columns=0).model_copy(update={"fault": fault})
        return message, {"images": empty.images, "sigma": empty.sigma, "flags": empty.flags}

    def _message(self, slab: Slab, bag: _Bag, *, last: bool, columns: int) -> ImageSlab:
        carried = slab.model_dump(include=_CARRIED)
        bundle = bag.flat.bundle if bag.flat else None
        return ImageSlab(
            **carried,
            last=last,
            columns=columns,
            row_pitch_um=self._row_pitch_um,
            calibration_id=bundle.id if bundle else "",
            calibration_created_ns=bundle.created_ns if bundle else 0,
            model=self.config.retrieval.model,
            kernel_backend=bag.backend,
            air_scale=bag.air_scale,
            drift=bag.drift,
        )


#: Fields that go from the slab to its images unchanged.
_CARRIED = {
    "bag_id", "scan_id", "encoder", "index", "column0", "rows", "grid_um", "origin_um", "bag_from_um", "bag_to_um",
    "frames", "lost_frames", "lost_packets", "first_frame_t_ns", "last_frame_t_ns",
}  # fmt: skip


def _checked(slab: Slab, arrays: Arrays) -> tuple[F32, F32, F32]:
    """The three arrays of a slab; ValueError when a shape or dtype is not what the header says."""
    sums, weights, weights_sq = arrays["phase_sums"], arrays["weights"], arrays["weights_sq"]
    expected = (GROUPS, len(BINS), slab.rows, slab.columns)
    if sums.shape != expected or sums.dtype != np.float32:
        raise ValueError(f"phase_sums are {sums.dtype} {sums.shape}, the header says float32 {expected}")
    for name, array in (("weights", weights), ("weights_sq", weights_sq)):
        if array.ndim != 2 or array.shape[1] != slab.columns or array.dtype != np.float32:
            raise ValueError(
                f"{name} are {array.dtype} {array.shape}, expected float32 (columns of the detector, {slab.columns})"
            )
    return cast("F32", sums), cast("F32", weights), cast("F32", weights_sq)


def _empty(rows: int) -> _Retrieved:
    images = np.zeros((len(CHANNELS), len(BINS), rows, 0), np.float32)
    return _Retrieved(images, images, np.zeros((len(BINS), rows, 0), np.uint16))
