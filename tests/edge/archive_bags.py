"""Synthetic bags for the archive's tests: plausible numbers, simulated by three lines of NumPy, not by physics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.config import Config
from edge.messages import (
    IATA,
    Arrays,
    Candidate,
    Decision,
    DetectedObject,
    Fault,
    ImageSlab,
    Slab,
    Verdict,
)

BAG = "bag-0001"


def config(folder: Path, **tables: object) -> Config:
    """A lane in ``folder``."""
    return Config.model_validate({"lane": {"name": "test-lane", "state_dir": folder}, **tables})


@dataclass(frozen=True)
class Bag:
    """Whole-bag arrays, to be cut into slabs."""

    images: np.ndarray  # (4, 2, rows, columns)
    sigma: np.ndarray
    flags: np.ndarray  # (2, rows, columns)
    sums: np.ndarray  # (4, 2, rows, columns)
    weights: np.ndarray  # (128, columns)
    bag_id: str = BAG
    row_pitch_um: float = 307.8
    grid_um: float = 300.0
    lead: int = 10

    @property
    def columns(self) -> int:
        return int(self.images.shape[-1])

    @property
    def rows(self) -> int:
        return int(self.images.shape[-2])

    def header(self, slice_: slice, index: int, last: bool) -> dict[str, object]:
        origin_um = 5_000.0
        return {
            "bag_id": self.bag_id,
            "scan_id": "scan-1",
            "index": index,
            "last": last,
            "column0": slice_.start,
            "columns": slice_.stop - slice_.start,
            "rows": self.rows,
            "grid_um": self.grid_um,
            "origin_um": origin_um,
            "bag_from_um": origin_um + self.lead * self.grid_um,
            "bag_to_um": origin_um + (self.columns - self.lead) * self.grid_um if last else None,
            "frames": 100 * (index + 1),
            "first_frame_t_ns": 1_700_000_000_000_000_000,
            "last_frame_t_ns": 1_700_000_010_000_000_000,
            "calibration_id": "cal-0123456789abcdef",
        }

    def cuts(self, step: int) -> Iterator[tuple[int, slice, bool]]:
        starts = range(0, self.columns, step)
        for index, start in enumerate(starts):
            yield index, slice(start, min(start + step, self.columns)), index == len(starts) - 1

    def image_slabs(self, step: int = 32) -> Iterator[tuple[ImageSlab, Arrays]]:
        for index, here, last in self.cuts(step):
            slab = ImageSlab.model_validate(
                {**self.header(here, index, last), "row_pitch_um": self.row_pitch_um, "kernel_backend": "host-test"}
            )
            yield (
                slab,
                {
                    "images": self.images[..., here],
                    "sigma": self.sigma[..., here],
                    "flags": self.flags[..., here],
                },
            )

    def raw_slabs(self, step: int = 32) -> Iterator[tuple[Slab, Arrays]]:
        for index, here, last in self.cuts(step):
            yield (
                Slab.model_validate(self.header(here, index, last)),
                {
                    "phase_sums": np.ascontiguousarray(self.sums[..., here]),
                    "weights": np.ascontiguousarray(self.weights[:, here]),
                    "weights_sq": np.ascontiguousarray(self.weights[:, here] ** 2),
                },
            )

    def verdict(self, decision: Decision = Decision.ALARM, **changes: object) -> Verdict:
        objects = (threat(self), benign(self)) if decision is Decision.ALARM else ()
        return Verdict.model_validate(
            {
                "bag_id": self.bag_id,
                "decision": decision,
                "iata": IATA[decision],
                "reason": Fault.TIMEOUT if decision is Decision.UNKNOWN else None,
                "bag_tag": "T-0001",
                "score": 0.97 if objects else 0.02,
                "objects": objects,
                "scan_start_t_ns": 1_700_000_000_000_000_000,
                "latency_ms": 1234.5,
                "model_id": "reference-classes",
                **changes,
            }
        )


def boxes(bag: Bag) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
    """Threat and benign object, in pixels: row0, column0, row1, column1."""
    rows, columns = bag.rows, bag.columns
    return (
        (rows // 4, columns // 4, rows // 2, columns // 2),
        (rows * 6 // 10, columns * 55 // 100, rows * 8 // 10, columns * 8 // 10),
    )


def threat(bag: Bag) -> DetectedObject:
    return DetectedObject(
        box=boxes(bag)[0],
        polygon=(),
        area_mm2=640.0,
        probability=0.97,
        category="explosive",
        candidates=(Candidate(material="C4", probability=0.93, threat=True),),
        features={"R_df": 6.9, "R_ab": 1.62, "R_of": 1.1},
    )


def benign(bag: Bag) -> DetectedObject:
    row0, column0, row1, column1 = boxes(bag)[1]
    return DetectedObject(
        box=(row0, column0, row1, column1),
        polygon=((row0, column0), (row0, column1), (row1, (column0 + column1) / 2)),
        area_mm2=800.0,
        probability=0.03,
        category="benign",
        candidates=(Candidate(material="acrylic", probability=0.98, threat=False),),
    )


def bag(rows: int = 64, columns: int = 96, seed: int = 1, **changes: object) -> Bag:
    """A bag with one strong and one weak scatterer in air."""
    rng = np.random.default_rng(seed)
    sigma = np.empty((4, 2, rows, columns), np.float32)
    for channel, sd in enumerate((0.01, 0.25, 5.0, 0.01)):
        sigma[channel] = sd
    images = np.zeros_like(sigma)
    images[0], images[3] = 1.0, 1.0
    made = Bag(
        images=images,
        sigma=sigma,
        flags=np.zeros((2, rows, columns), np.uint16),
        sums=rng.poisson(5000, (4, 2, rows, columns)).astype(np.float32),
        weights=rng.random((128, columns), np.float32),
        **changes,  # type: ignore[arg-type]
    )
    for (row0, column0, row1, column1), attenuation, dark in zip(boxes(made), (0.8, 0.5), (60.0, 2.0), strict=True):
        here_rows, here_columns = slice(row0, row1), slice(column0, column1)
        images[0, :][..., here_rows, here_columns] *= np.exp(-attenuation)
        images[2, 0][..., here_rows, here_columns] = dark
        images[2, 1][..., here_rows, here_columns] = dark / 7
        images[3, :][..., here_rows, here_columns] *= np.exp(-0.6 * attenuation)
        images[1, :, row0:row1, column0] += 3.0
        images[1, :, row0:row1, column1 - 1] -= 3.0
    images += (rng.standard_normal(images.shape) * sigma).astype(np.float32)
    return made
