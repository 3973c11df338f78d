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
from training.fit_network import loop, machine
from training.fit_network.ahead import Batches
from training.fit_network.crops import Batch, Sampler, cell_targets
from training.fit_network.inputs import Store, scales
from training.fit_network.metrics import I64, Platt, fit_platt
from training.fit_network.pasting import Paster
from training.fit_network.presets import GrainPreset
from training.fit_network.resident import Resident, fits
from training.fit_network.start import Start
from training.networks.grain_net import STRIDE, GrainNet


@dataclass(frozen=True)
class Trained:
    """A network with the calibration of its score and what it was fitted on (indices in the whole data set).

    ``validation``: what the calibration was fitted on; the same scans where it was cross-fitted.
    """

    network: GrainNet
    platt: Platt
    fitted: tuple[int, ...]
    validation: tuple[int, ...]
    losses: tuple[float, ...]


def loss(heat: Tensor, score: Tensor, cells: Tensor, weights: Tensor, labels: Tensor, bag_weight: float) -> Tensor:
    """Cross-entropy of the cells, weighted by what they lie on, plus that of the crops' labels; as in a Batch."""
    each = functional.binary_cross_entropy_with_logits(
        heat, cells.clamp(min=0)[:, None], weights[:, None], reduction="sum"
    )
    known = labels >= 0
    bags = functional.binary_cross_entropy_with_logits(score[:, 0], labels.clamp(min=0), reduction="none")
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
    known: dict[int, float] | None = None,
) -> Trained:
    """Train on the scans ``indices`` and calibrate on those of them that are held back for it.

    With ``preset.folds`` none is held back: the calibration is fitted on scores of trainings that each left a fold out,
    and the network is trained on all. With no steps the network is taken as ``start`` has it, and all calibrate it.
    ``start``: what the training goes on from instead of random weights. ``known``: scores of ``start`` itself by scan,
    which are used and added to where it is taken as it came.
    """
    labels = np.array([entry.label for entry in store.scans.manifest.scans], np.int64)
    if preset.steps == 0:  # as it came: nothing is fitted but the calibration
        network, _ = _trained(preset, store, indices, planes, seed, save, report, start)
        platt = fit_platt(scores(network, store, indices, known), labels[list(indices)])
        return Trained(network, platt, (), tuple(indices), ())
    if not preset.folds:
        fitted, validation = parted(indices, labels, preset.validation, seed)
        network, losses = _trained(preset, store, fitted, planes, seed, save, report, start)
        raw = scores(network, store, validation)
        return Trained(network, fit_platt(raw, labels[validation]), tuple(fitted), tuple(validation), tuple(losses))
    told: dict[int, float] = {}
    for k, held in enumerate(dealt(indices, labels, preset.folds, seed)):
        kept = [index for index in indices if index not in set(held)]
        path = save.with_name(f"{save.name}-{k}") if save else None
        one, _ = _trained(preset, store, kept, planes, seed, path, None, start)
        told |= dict(zip(held, scores(one, store, held).tolist(), strict=True))
        if path:
            path.unlink(missing_ok=True)
    network, losses = _trained(preset, store, indices, planes, seed, save, report, start)
    raw = np.array([told[index] for index in indices])
    return Trained(network, fit_platt(raw, labels[list(indices)]), tuple(indices), tuple(indices), tuple(losses))


def dealt(indices: Sequence[int], labels: I64, folds: int, seed: int) -> list[list[int]]:
    """``indices`` in ``folds`` parts, both labels alike in each."""
    rng = np.random.default_rng([seed, 0xF01D])
    parts: list[list[int]] = [[] for _ in range(folds)]
    for label in (0, 1):
        members = rng.permutation([index for index in indices if labels[index] == label])
        if len(members) < folds:
            raise ValueError(f"{len(members)} scans to train with have label {label}; {folds} folds need as many")
        for k, member in enumerate(members):
            parts[k % folds].append(int(member))
    return [sorted(part) for part in parts]


def _trained(
    preset: GrainPreset,
    store: Store,
    fitted: Sequence[int],
    planes: Sequence[str],
    seed: int,
    save: Path | None,
    report: loop.Report | None,
    start: Start | None,
) -> tuple[GrainNet, list[float]]:
    """A network trained on the scans ``fitted``, and its losses."""
    chosen = dict(zip(PLANES, scales(store, fitted, seed), strict=True))
    torch.manual_seed(seed)
    network = GrainNet(planes, [float(chosen[name]) for name in planes], preset.width, preset.dropout)
    if start is not None:
        start.into(network)
    where = machine.device()
    network = network.to(where, memory_format=torch.channels_last)
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

    def draw(step: int) -> Batch:
        return sampler.draw(loop.generator(seed, step), preset.batch)

    batches: Batches | Resident = Batches(draw, preset.steps)
    if where.type != "cpu" and sampler.plain and fits(store, fitted):
        batches = Resident(
            sampler, store, fitted, planes, size=preset.crop, count=preset.batch, seed=seed, device=where
        )

    def loss_of(_: np.random.Generator, step: int) -> Tensor:
        inputs, *wanted = (part.to(where, non_blocking=True) for part in batches(step))
        with torch.autocast(where.type, torch.bfloat16, enabled=preset.bf16):
            heat, score = network(inputs.contiguous(memory_format=torch.channels_last))
        cells, weights, labels = wanted
        return loss(heat, score.float(), cells, weights, labels, preset.bag_weight)

    same = replace(preset, every=0)
    what = (same, store.retrieval, store.scans.manifest.sha256, planes, list(fitted))
    identity = loop.identity(preset.name, seed, *what, *([start.source.sha256] if start else []))
    plan = loop.Plan(preset.steps, preset.optimiser, seed, identity, save, preset.every)
    return network, loop.run(network, loss_of, plan, report)


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
    where = network.weight_of_plane.device
    with torch.inference_mode():
        given = torch.from_numpy(whole_cells(planes))[None].to(where, memory_format=torch.channels_last)
        heat, score = network(given)
    made: F32 = heat[0, 0].cpu().numpy()
    return made, float(score[0, 0])


def scores(network: GrainNet, store: Store, indices: Sequence[int], known: dict[int, float] | None = None) -> F64:
    """Raw scores (logits) of whole scans (n,). ``known``: those of this network by scan, used and added to."""
    network.eval()
    known = {} if known is None else known
    for index in indices:
        if index not in known:
            known[index] = judge(network, store[index].chosen(network.planes))[1]
    return np.array([known[index] for index in indices], np.float64)


def localisation(heat: F32, mask: U8) -> dict[str, float]:
    """Whether the hottest cell lies on the target (1 or 0), and intersection over union of hot cells and target."""
    target, _ = cell_targets(mask)
    truth, hot = target == 1, heat > 0
    peak = np.unravel_index(int(heat.argmax()), heat.shape)
    union = (truth | hot).sum()
    return {"peak_inside": float(target[peak] != 0), "overlap": float((truth & hot).sum() / union) if union else 0.0}
