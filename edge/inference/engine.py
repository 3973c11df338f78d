"""Image slabs of a bag to its assessment; no sockets."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

import numpy as np

from edge.inference.detector import Detector, Examination, Findings, Geometry, Tile
from edge.inference.tiles import UNUSABLE
from edge.messages import Arrays, Assessment, Fault, ImageSlab

log = logging.getLogger("inference")

#: Longest cause of a fault in an assessment, characters.
MAX_DETAIL = 300


@dataclass
class _Bag:
    """One bag between its first slab and its assessment."""

    scan_id: str
    detector: Detector
    examination: Examination | None = None
    next_index: int = 0
    columns: int = 0
    busy_s: float = 0.0
    retrieval_ms: float = 0.0
    fault: Fault | None = None
    detail: str = ""
    ended: bool = field(default=False)


class InferenceEngine:
    """Feeds slabs to the detector; one :class:`Assessment` per bag, whatever happens.

    A bag whose slabs are out of sequence ends at once with ServiceRestart; a bag that the detector cannot handle
    ends with FailedRecon. Both are UNKNOWN for the verdict: nothing that was not judged can be cleared.
    """

    #: Ended bags remembered, so that stray slabs of theirs are not taken for new bags.
    REMEMBERED = 64

    def __init__(self, detector: Detector) -> None:
        #: Judges the bags that begin from now on; a bag keeps the one that it began with.
        self.detector = detector
        self._bags: dict[str, _Bag] = {}

    @property
    def bags_in_hand(self) -> int:
        """Bags begun and not yet assessed."""
        return sum(not bag.ended for bag in self._bags.values())

    def handle(self, slab: ImageSlab, arrays: Arrays) -> Assessment | None:
        """Take the next slab; returns the assessment when the bag ends with it."""
        started = time.perf_counter()
        bag = self._bags.get(slab.bag_id)
        # A bag may come again: as another scan when a service died meanwhile, as the same one in a replay.
        if bag is None or bag.scan_id != slab.scan_id or (bag.ended and slab.index == 0):
            bag = self._bags[slab.bag_id] = _Bag(slab.scan_id, self.detector)
            self._forget()
        if bag.ended:
            return None
        bag.retrieval_ms += slab.retrieval_ms
        findings = Findings(0.0)
        if slab.fault is not None:
            bag.fault = slab.fault
        elif slab.index != bag.next_index:
            bag.fault = Fault.SERVICE_RESTART
            bag.detail = f"slab {slab.index} came, {bag.next_index} was next"
            log.warning("bag %s: %s; given up", slab.bag_id, bag.detail)
        elif not slab.calibration_id:
            bag.fault = Fault.CALIBRATION_EXPIRED
        else:
            findings = self._examine(bag, slab, arrays)
        bag.next_index += 1
        bag.busy_s += time.perf_counter() - started
        if not slab.last and bag.fault is None:
            return None
        bag.ended, bag.examination = True, None
        return self._assessment(bag, slab, findings)

    def _examine(self, bag: _Bag, slab: ImageSlab, arrays: Arrays) -> Findings:
        """Add the slab's columns, and finish with the last slab. A failing detector is a fault of this bag only."""
        try:
            if slab.columns:
                if bag.examination is None:
                    bag.examination = bag.detector.open(Geometry(slab.rows, slab.row_pitch_um, slab.grid_um))
                bag.examination.add(_tile(slab, arrays))
                bag.columns += slab.columns
            if not slab.last or bag.examination is None:
                return Findings(0.0)
            findings = bag.examination.finish()
            if findings.clipped:
                bag.fault = Fault.CLIPPED_BAG
            return findings
        except Exception as error:  # whatever a detector raises must not stop the lane
            log.exception("bag %s: detector %s failed at slab %d", slab.bag_id, bag.detector.identity.id, slab.index)
            bag.fault, bag.detail = Fault.FAILED_RECON, f"{error}"[:MAX_DETAIL]
            return Findings(0.0)

    def _assessment(self, bag: _Bag, slab: ImageSlab, findings: Findings) -> Assessment:
        identity = bag.detector.identity
        carried = (
            "bag_id", "scan_id", "encoder", "calibration_id", "calibration_created_ns", "kernel_backend", "frames",
            "lost_frames", "lost_packets", "rows", "first_frame_t_ns", "last_frame_t_ns", "air_scale", "drift",
        )  # fmt: skip
        return Assessment(
            **{name: getattr(slab, name) for name in carried},
            fault=bag.fault,
            detail=bag.detail,
            score=findings.score,
            threshold=bag.detector.threshold,
            objects=findings.objects,
            contributions=findings.contributions,
            saliency=findings.saliency,
            shadow=findings.shadow,
            model_id=identity.id,
            model_version=identity.version,
            model_sha256=identity.sha256,
            inference_runtime=identity.runtime,
            columns=bag.columns,
            retrieval_ms=bag.retrieval_ms,
            inference_ms=bag.busy_s * 1e3,
        )

    def _forget(self) -> None:
        while len(self._bags) > self.REMEMBERED:
            self._bags.pop(next(iter(self._bags)))


def _tile(slab: ImageSlab, arrays: Arrays) -> Tile:
    """The slab's arrays as a tile; ValueError when they are not of the size the header says, or hold no numbers."""
    shape = (4, 2, slab.rows, slab.columns)
    images, sigma, flags = arrays["images"], arrays["sigma"], arrays["flags"]
    if images.shape != shape or sigma.shape != shape or flags.shape != shape[1:]:
        raise ValueError(
            f"slab {slab.index}: arrays {images.shape}, {sigma.shape}, {flags.shape}; expected {shape}, {shape[1:]}"
        )
    # The retrieval flags what it has no value for; anything else that is no number was not made by it.
    tile = Tile(
        slab.column0,
        images.astype(np.float32, copy=False),
        sigma.astype(np.float32, copy=False),
        flags.astype(np.uint16, copy=False),
    )
    finite = np.isfinite(tile.images).all((0, 1)) & np.isfinite(tile.sigma).all((0, 1))
    strange = np.count_nonzero(~finite & ((tile.flags & np.uint16(UNUSABLE)) == 0).all(0))
    if strange:
        raise ValueError(f"slab {slab.index}: {strange} pixel(s) are no numbers, and no flag says why")
    return tile
