"""The three data sets: their recipes and how they are split."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.scanner import Scanner
from training.dataset.manifest import Entry, Kind, Recipe, Split
from training.dataset.scenes import CLUTTER_THINGS
from training.seeds import DATASETS

#: Scans of a whole set [paper, text to Figs. 3 and 4; ours for the lane], and of one made with --quick.
SCANS: Final[dict[Kind, int]] = {"study1": 200, "study2": 576, "lane": 300}
QUICK_SCANS: Final[dict[Kind, int]] = {"study1": 24, "study2": 24, "lane": 12}
#: Tube voltage, kVp [paper]; the lane's default.
TUBE_KV: Final[dict[Kind, int]] = {"study1": 80, "study2": 120, "lane": 80}
#: Belt speed of the studies, mm/s: the paper's is not told; at this one docs/physics.md counts photons.
STUDY_MM_S: Final = 1.0
#: Effective pixel in pixels of the scanner's grid (0.3 mm): the studies of whole items take 0.6 mm.
BINNING: Final[dict[Kind, int]] = {"study1": 1, "study2": 2, "lane": 1}
#: Grid along the belt on which scenes are drawn, µm.
FINE_UM: Final[dict[Kind, float]] = {"study1": 75.0, "study2": 150.0, "lane": 75.0}
#: Study 1 reads out this part of the detector: what is kept of a bag is no higher.
STUDY1_ROWS: Final = 1152
#: Random splits of study 1, and the part that each trains with [paper].
STUDY1_SPLITS, STUDY1_TRAIN = 10, 0.7
#: Scans of study 2 that are held out [paper], of its SCANS; part of the lane's that are.
STUDY2_TEST, LANE_TEST = 80, 0.2


def recipe(
    kind: Kind,
    *,
    scans: int | None = None,
    seed: int | None = None,
    quick: bool = False,
    scanner: dict[str, Any] | None = None,
    binning: int | None = None,
    clutter: tuple[int, int] | None = None,
    map_only: bool = False,
    per_scanner: int | None = None,
) -> Recipe:
    """Recipe of a data set; ``scanner`` overrides keys of table [scanner]. ValueError names what does not fit.

    ``map_only``: without the second retrieval of the studies, as printed in the paper. ``per_scanner``: another
    emulated scanner after so many scans: its masks are joined a little differently, and it is calibrated by itself.
    """
    if clutter is not None and (kind != "study1" or not 0 <= clutter[0] <= clutter[1]):
        raise ValueError(f"clutter = {clutter}: is for study1, least and most number of things")
    count = scans or (QUICK_SCANS if quick else SCANS)[kind]
    first, last = DATASETS[kind]
    start = first if seed is None else seed
    if not first <= start <= last - count:
        raise ValueError(
            f"seed = {start}: scenes of {kind} with {count} scans take seeds from {first} to {last - count}; "
            "others belong to other data (training/seeds.py)"
        )
    table: dict[str, Any] = {"tube_kv": TUBE_KV[kind]}
    if kind != "lane":
        table["belt_speed_mm_s"] = STUDY_MM_S
    if kind == "study1":
        table["native_rows"] = STUDY1_ROWS
    made = Scanner.model_validate(table | (scanner or {}))
    binning = BINNING[kind] if binning is None else binning
    if made.rows % binning:
        raise ValueError(f"binning = {binning}: does not divide the scanner's {made.rows} rows")
    settings = EmulatorSettings(seed=start, fine_grid_um=FINE_UM[kind])
    return Recipe(
        kind=kind,
        seed=start,
        scans=count,
        scanner=made.model_dump(mode="json"),
        emulator=settings.model_dump(mode="json"),
        binning=binning,
        clutter=CLUTTER_THINGS if kind == "study1" and clutter is None else clutter,
        per_scanner=per_scanner,
        retrievals=("map",) if kind == "lane" or map_only else ("map", "paper"),
    )


def splits(of: Recipe, entries: list[Entry]) -> tuple[Split, ...]:
    """Splits of a data set, both labels alike (and, where items differ, every item alike) in both parts."""
    if of.kind == "study1":
        return tuple(_split(of, entries, number, 1 - STUDY1_TRAIN) for number in range(STUDY1_SPLITS))
    held_out = STUDY2_TEST / SCANS["study2"] if of.kind == "study2" else LANE_TEST
    return (_split(of, entries, 0, held_out),)


def _split(of: Recipe, entries: list[Entry], number: int, test_part: float) -> Split:
    rng = np.random.default_rng([of.seed, 0x5917, number])
    test: list[int] = []
    for label in (0, 1):
        members = np.array([k for k, entry in enumerate(entries) if entry.label == label])
        wanted = round(test_part * len(members))
        # Dealt by turns to items and materials, so that each is held out as often as it occurs.
        order = _interleaved(rng.permutation(members), [f"{entry.item} {entry.material}" for entry in entries])
        test += order[:wanted].tolist()
    chosen = set(test)
    return Split(train=tuple(k for k in range(len(entries)) if k not in chosen), test=tuple(sorted(chosen)))


def _interleaved(members: npt.NDArray[np.int64], items: list[str]) -> npt.NDArray[np.int64]:
    """``members`` ordered so that every beginning of the list holds each item in the proportion of the whole."""
    kinds = [items[k] for k in members]
    place = np.zeros(len(members))
    for kind in sorted(set(kinds)):
        here = [i for i, other in enumerate(kinds) if other == kind]
        place[here] = (np.arange(len(here)) + 0.5) / len(here)
    return members[np.argsort(place, kind="stable")]
