"""Training and judging our own network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edge.inference.planes import PLANES
from firmware_bridge.scanner import Scanner
from kernels.types import F32, F64, U8
from training.fit_network import loop
from training.fit_network.crops import Batch, Sampler, cell_targets
from training.fit_network.inputs import Store, scales
from training.fit_network.metrics import I64, Platt, fit_platt
from training.fit_network.pasting import Paster
from training.fit_network.presets import GrainPreset
from training.fit_network.start import Start
from training.networks.grain_net import STRIDE, GrainNet


@dataclass(frozen=True)
class Trained:
    """A network with the calibration of its score and what it was fitted on (indices in the whole data set)."""

    network: GrainNet
    platt: Platt
    fitted: tuple[int, ...]
    validation: tuple[int, ...]
    losses: tuple[float, ...]


def loss(heat: Tensor, score: Tensor, batch: Batch, bag_weight: float) -> Tensor:
    """Cross-entropy of the cells, weighted by what they lie on, plus that of the crops' labels."""
    cells = torch.from_numpy(np.maximum(batch.cells, 0))[:, None]
    weights = torch.from_numpy(batch.weights)[:, None]
    each = functional.binary_cross_entropy_with_logits(heat, cells, weights, reduction="sum")
    labels, known = torch.from_numpy(np.maximum(batch.labels, 0)), torch.from_numpy(batch.labels >= 0)
    bags = functional.binary_cross_entropy_with_logits(score[:, 0], labels, reduction="none")
    return each / weights.numel() + bag_weight * (bags * known).sum() / torch.clamp(known.sum(), min=1)


def parted(indices: Sequence[int], labels: I64, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Scans to fit, and to calibrate on: ``fraction`` of each label, at least one, drawn with ``seed``."""
    rng = np.random.default_rng([seed, 0x5B11])
    kept: list[int] = []
    for label in (0, 1):
        members = [index for index in indices if labels[index] == label]
        if len(members) < 2:
            raise ValueError(f"{len(members)} scans to train with have label {label}; at least 2 are needed")
        some = rng.permutation(len(members))[: max(1, round(fraction * len(members)))]
        kept += [members[int(k)] for k in some]
    held = set(kept)
    return [index for index in indices if index not in held], sorted(kept)


def fit(
    preset: GrainPreset,
    store: Store,
    indices: Sequence[int],
    planes: Sequence[str],
    seed: int,
    save: Path | None = None,
    report: loop.Report | None = None,
    start: Start | None = None,
) -> Trained:
    """Train on the scans ``indices`` and calibrate on those of them that are held back for it.

    ``start``: what the training goes on from instead of random weights.
    """
    labels = np.array([entry.label for entry in store.scans.manifest.scans], np.int64)
    fitted, validation = parted(indices, labels, preset.validation, seed)
    chosen = dict(zip(PLANES, scales(store, fitted, seed), strict=True))
    torch.manual_seed(seed)
    network = GrainNet(planes, [float(chosen[name]) for name in planes], preset.width, preset.dropout)
    if start is not None:
        start.into(network)
    network = network.to(memory_format=torch.channels_last)
    sampler = Sampler(
        store,
        fitted,
        planes,
        preset.crop,
        on_sample=preset.on_sample,
        flip=preset.flip,
        overlay=preset.overlay,
        mirror=preset.mirror,
        paster=_paster(preset, store, fitted),
        pasted=preset.pasted,
    )

    def loss_of(rng: np.random.Generator, step: int) -> Tensor:
        batch = sampler.draw(rng, preset.batch)
        inputs = torch.from_numpy(batch.planes).to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=preset.bf16):
            heat, score = network(inputs)
        return loss(heat, score.float(), batch, preset.bag_weight)

    same = replace(preset, every=0)
    what = (same, store.retrieval, store.scans.manifest.sha256, planes, fitted)
    identity = loop.identity(preset.name, seed, *what, *([start.source.sha256] if start else []))
    plan = loop.Plan(preset.steps, preset.optimiser, seed, identity, save, preset.every)
    losses = loop.run(network, loss_of, plan, report)
    raw = scores(network, store, validation)
    return Trained(network, fit_platt(raw, labels[validation]), tuple(fitted), tuple(validation), tuple(losses))


def _paster(preset: GrainPreset, store: Store, fitted: Sequence[int]) -> Paster | None:
    if preset.pasted == 0:
        return None
    manifest = store.scans.manifest
    rows_um, columns_um = manifest.pixel_um
    kv = Scanner.model_validate(manifest.recipe.scanner).tube_kv
    return Paster(store, fitted, kv, (rows_um / 1e3, columns_um / 1e3))


def whole_cells(planes: F32) -> F32:
    """Planes filled up with zeros to whole cells, as the lane does."""
    missing = [-size % STRIDE for size in planes.shape[1:]]
    return np.pad(planes, ((0, 0), (0, missing[0]), (0, missing[1]))) if any(missing) else planes


def judge(network: GrainNet, planes: F32) -> tuple[F32, float]:
    """Heat (⌈rows/8⌉, ⌈columns/8⌉) and score of one scan's planes (C, rows, columns), both logits."""
    with torch.inference_mode():
        heat, score = network(torch.from_numpy(whole_cells(planes))[None].to(memory_format=torch.channels_last))
    made: F32 = heat[0, 0].numpy()
    return made, float(score[0, 0])


def scores(network: GrainNet, store: Store, indices: Sequence[int]) -> F64:
    """Raw scores (logits) of whole scans (n,)."""
    network.eval()
    return np.array([judge(network, store[index].chosen(network.planes))[1] for index in indices], np.float64)


def localisation(heat: F32, mask: U8) -> dict[str, float]:
    """Whether the hottest cell lies on the target (1 or 0), and intersection over union of hot cells and target."""
    target, _ = cell_targets(mask)
    truth, hot = target == 1, heat > 0
    peak = np.unravel_index(int(heat.argmax()), heat.shape)
    union = (truth | hot).sum()
    return {"peak_inside": float(target[peak] != 0), "overlap": float((truth & hot).sum() / union) if union else 0.0}
