"""A trained network as a signed model bundle: three graphs, thresholds of each, golden vectors, held-out figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from calibration.signing import KeyStore
from edge.inference.bundle import GoldenVectors, golden_file, sha256, write
from edge.inference.manifest import Manifest, Precision
from edge.inference.planes import PLANES
from firmware_bridge.scanner import Scanner
from kernels.types import F32, F64
from training.fit_network import equalise, export, quantise
from training.fit_network.grain import Trained, whole_cells
from training.fit_network.inputs import Store, ranges
from training.fit_network.metrics import I64, area_under_curve, confusion, fit_platt, threshold_for
from training.fit_network.presets import INT8_LOSS
from training.networks.grain_net import HALO, SMOOTH, STRIDE, parameters

#: Names of the graphs in the bundle.
FILES: dict[Precision, str] = {"fp32": "model.onnx", "int8": "model.int8.onnx", "tensorrt": "model.tensorrt.onnx"}
#: Most that a logit may differ on another machine. Processors round sums of products of 8-bit numbers differently.
TOLERANCES: dict[Precision, float] = {"fp32": 0.01, "int8": 0.3, "tensorrt": 0.3}
#: Share of the held-back scans with a threat that the network's own threshold is to find.
TARGET_RATE = 0.95
#: Scans that the ranges of the eight-bit graphs are taken from.
CALIBRATED_ON = 24
#: Golden vectors: so many parts of so many pixels a side. More would take the bundle above 5 MB.
GOLDEN, GOLDEN_SIZE = 1, 128


@dataclass(frozen=True)
class About:
    """What the manifest says of a bundle beside what can be measured."""

    name: str
    version: str
    command: str
    description: str
    metrics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Judged:
    """Scores of one graph."""

    validation: F64
    test: F64


def make(trained: Trained, store: Store, test: Sequence[int], about: About, folder: Path, keys: KeyStore) -> Path:
    """Export, quantise, judge on the scans ``test`` that nothing was fitted on, write the bundle."""
    network = trained.network.cpu().eval()
    both = set(trained.fitted) & set(trained.validation)
    if both:
        raise ValueError(
            f"bundle: {len(both)} scans were both fitted and held back; each graph is calibrated on the latter"
        )
    manifest = store.scans.manifest
    labels = np.array([entry.label for entry in manifest.scans], np.int64)
    spans = dict(zip(PLANES, ranges(store, trained.fitted, manifest.recipe.seed), strict=True))
    rng = np.random.default_rng([manifest.recipe.seed, 0x08])
    some = rng.permutation(trained.fitted)[:CALIBRATED_ON]
    planes = [whole_cells(store[int(index)].chosen(network.planes)) for index in some]
    plain = export.fused(network, np.array([spans[name] for name in network.planes], np.float32))
    content: dict[Precision, bytes] = {"fp32": export.graph(equalise.equalised(plain, planes))}
    content["int8"] = quantise.quantised(content["fp32"], planes, "int8")
    content["tensorrt"] = quantise.quantised(content["fp32"], planes, "tensorrt")
    scores = {kind: _judge(graph, trained, store, test) for kind, graph in content.items()}
    golden = _golden(content, store, trained, test)
    files = {FILES[kind]: graph for kind, graph in content.items()} | {"golden.npz": golden_file(golden)}
    graphs = {kind: _graph(kind, files, scores[kind], labels, trained, test) for kind in content}
    auc = {kind: area_under_curve(scores[kind].test, labels[list(test)]) for kind in content}
    recipe = manifest.recipe
    entries = manifest.scans
    made = Manifest.model_validate(
        {
            "name": about.name,
            "version": about.version,
            "created_ns": time.time_ns(),
            "software": f"darklane {version('darklane')}, torch {torch.__version__}",
            "licence": "Apache-2.0",
            "architecture": f"GrainNet, width {network.width}",
            "parameters": parameters(network),
            "inputs": {
                "planes": network.planes,
                "row_pitch_um": manifest.pixel_um[0],
                "grid_um": manifest.pixel_um[1],
                "tube_kv": (Scanner.model_validate(recipe.scanner).tube_kv,),
                "normalisation": {
                    name: (0.0, float(spans[name]))
                    for name in network.planes
                },
            },
            "stride": STRIDE,
            "halo": HALO,
            "pooling": {
                "window": SMOOTH, "scale": network.score.weight.item(),
                "offset": network.score.bias.item(),
            },
            "precision": "int8" if auc["int8"] >= auc["fp32"] - INT8_LOSS else "fp32",
            "graphs": graphs,
            "golden": {"sha256": sha256(files["golden.npz"])},
            "metrics": about.metrics | {
                "auc": auc, "scans": {"fitted": len(trained.fitted), "calibration": len(trained.validation),
                                      "held out": len(test)},
            },
            "data": {
                "description": about.description,
                "sha256": manifest.sha256,
                "seeds": f"{entries[0].seed} to {entries[-1].seed}",
                "bags": len(entries),
            },
            "command": about.command,
        }
    )  # fmt: skip
    return write(folder, made, files, keys)


def _judge(graph: bytes, trained: Trained, store: Store, test: Sequence[int]) -> _Judged:
    session = export.open_session(graph)

    def scores(indices: Sequence[int]) -> F64:
        each = [export.scores(session, [store[index].chosen(trained.network.planes)]) for index in indices]
        return np.concatenate(each).astype(np.float64)

    return _Judged(scores(trained.validation), scores(test))


def _graph(
    kind: Precision, files: Mapping[str, bytes], scores: _Judged, labels: I64, trained: Trained, test: Sequence[int]
) -> dict[str, Any]:
    """The manifest's entry about one graph: eight bits move the scores, so each has its own calibration."""
    held, judged = labels[list(trained.validation)], labels[list(test)]
    platt = fit_platt(scores.validation, held)
    threshold = threshold_for(platt.probability(scores.validation), held, TARGET_RATE)
    at = confusion(platt.probability(scores.test), judged, threshold)
    accuracy = {name: at[name] for name in ("accuracy", "recall", "false_positive_rate")}
    accuracy["area_under_curve"] = area_under_curve(scores.test, judged)
    return {
        "file": FILES[kind],
        "sha256": sha256(files[FILES[kind]]),
        "platt": (platt.a, platt.b),
        "threshold": threshold,
        "tolerance": TOLERANCES[kind],
        "accuracy": {name: value for name, value in accuracy.items() if np.isfinite(value)},
    }


def _golden(content: Mapping[Precision, bytes], store: Store, trained: Trained, test: Sequence[int]) -> GoldenVectors:
    """Middles of held-out scans, and what each graph makes of them."""
    parts = []
    for index in list(test)[:GOLDEN]:
        planes = store[index].chosen(trained.network.planes)
        rows, columns = planes.shape[1:]
        r0, c0 = (max(0, (size - GOLDEN_SIZE) // 2) for size in (rows, columns))
        parts.append(planes[:, r0 : r0 + GOLDEN_SIZE, c0 : c0 + GOLDEN_SIZE])
    planes = np.ascontiguousarray(np.stack(parts), np.float32)
    made: dict[Precision, tuple[F32, F32]] = {
        kind: export.run(export.open_session(content[kind]), planes) for kind in get_args(Precision)
    }
    return GoldenVectors(
        planes, {kind: heat for kind, (heat, _) in made.items()}, {kind: score for kind, (_, score) in made.items()}
    )
