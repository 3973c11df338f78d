"""One scan of a data set: scene → counts → Poisson → retrieval → labels."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from firmware_bridge.emulator import render
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.scanner import Scanner
from kernels.types import Retrieval
from training.dataset.labels import Grid, contrast, mask_of
from training.dataset.manifest import Entry, Recipe
from training.dataset.scan_file import Retrieved, Scan
from training.dataset.scenes import WINDOW_MM, compose, labelled
from training.simulate import SimulatedLane


@lru_cache(maxsize=2)
def _lane(recipe_json: str, number: int) -> SimulatedLane:
    """Calibrated scanner ``number`` of a recipe: once per process."""
    recipe = Recipe.model_validate_json(recipe_json)
    settings = EmulatorSettings.model_validate(recipe.emulator)
    settings = settings.model_copy(update={"seed": settings.seed + number})
    return SimulatedLane(Scanner.model_validate(recipe.scanner), settings, binning=recipe.binning)


def pixel_um(recipe: Recipe) -> tuple[float, float]:
    """Height and width of a pixel in the plane of the object."""
    scanner = Scanner.model_validate(recipe.scanner)
    return scanner.row_pitch_um * recipe.binning, scanner.object_grid_um * recipe.binning


def simulate(recipe: Recipe, k: int) -> Scan:
    """Scan ``k`` of the recipe: depends on nothing else."""
    lane = _lane(recipe.model_dump_json(), k // recipe.per_scanner if recipe.per_scanner else 0)
    scene = compose(recipe.kind, lane.scanner, recipe.seed, k, recipe.clutter)
    canvas = render.draw_scene(lane.scanner, lane.settings, scene)
    sums = lane.summed(lane.expected(canvas, scene), recipe.seed + k)
    height_mm, width_mm = (um / 1e3 for um in pixel_um(recipe))
    rows, columns = sums.samples.shape[2:]
    # Study 1 keeps what lies inside its window: beyond it there is air only because nothing was drawn there.
    kept = slice(0, columns)
    if recipe.kind == "study1":
        first = int(np.ceil(sums.lead_columns))
        kept = slice(first, first + int(WINDOW_MM / width_mm))
    results = {name: _cut(lane.retrieve(sums, name), kept) for name in recipe.retrievals}
    u_mm = (np.arange(columns, dtype=np.float64)[kept] - sums.lead_columns) * width_mm
    grid = Grid(u_mm, (np.arange(rows, dtype=np.float64) + 0.5) * height_mm)
    mask = mask_of(scene, grid)
    main = results["map"]
    truth = scene.truth | {
        "label": int(labelled(recipe.kind, k)),
        "seed": recipe.seed + k,
        "pixel_mm": [round(height_mm, 6), round(width_mm, 6)],
        "lead_columns": round(float(sums.lead_columns) - kept.start, 4),
        "contrast": contrast(scene, canvas, lane.settings, grid, mask, main),
    }
    truth["salient_px"] = salient_box(truth, mask.shape)
    paper = results.get("paper")
    return Scan(
        name=f"{recipe.kind}-{recipe.seed + k}",
        images=main.images,
        sigma=main.sigma,
        flags=main.flags,
        mask=mask,
        truth=truth,
        paper=None if paper is None else Retrieved(paper.images, paper.sigma, paper.flags),
    )


def entry_of(scan_truth: dict[str, Any], file: str, sha256: str) -> Entry:
    """The manifest's line about a scan."""
    sample = scan_truth["target"] or next((one for one in scan_truth["objects"] if one["label"] == "benign"), None)
    known = sample if scan_truth["target"] or scan_truth["kind"] == "bag" else None
    return Entry(
        file=file,
        seed=scan_truth["seed"],
        label=scan_truth["label"],
        item=scan_truth["kind"],
        material=known["material"] if known else None,
        thickness_mm=known["path_mm"] if known else None,
        hidden=bool(scan_truth["contrast"] and scan_truth["contrast"]["hidden"]),
        sha256=sha256,
    )


def salient_box(truth: dict[str, Any], shape: tuple[int, int]) -> list[int] | None:
    """Rows and columns [first, past the last, first, past the last] of the target, else of the first benign sample."""
    sample = truth["target"] or next((one for one in truth["objects"] if one["label"] == "benign"), None)
    if sample is None:
        return None
    height_mm, width_mm = truth["pixel_mm"]
    u0, u1, y0, y1 = sample["box_mm"]
    rows = np.clip([np.floor(y0 / height_mm), np.ceil(y1 / height_mm)], 0, shape[0])
    columns = np.clip(np.array([np.floor(u0 / width_mm), np.ceil(u1 / width_mm)]) + truth["lead_columns"], 0, shape[1])
    return [int(rows[0]), int(rows[1]), int(columns[0]), int(columns[1])]


def _cut(result: Retrieval, columns: slice) -> Retrieval:
    return Retrieval(
        result.images[..., columns], result.sigma[..., columns], result.flags[..., columns], result.backend
    )
