"""One training and its test: what experiments call."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from training.dataset import Scans
from training.dataset.manifest import Split
from training.dataset.scan_file import RetrievalName
from training.fit_network import grain, loop, paper
from training.fit_network.channels import planes_of
from training.fit_network.inputs import Store
from training.fit_network.metrics import summary
from training.fit_network.presets import GrainPreset, Preset
from training.fit_network.presets import preset as preset_of
from training.fit_network.result import Result
from training.fit_network.start import load
from training.networks.weights import Weights

#: Raw scores of scans, by hash of the weights, folder of the planes, and number of the scan.
Kept = dict[tuple[str, str], dict[int, float]]


def train(
    preset: str | Preset,
    scans: Scans,
    split: Split,
    seed: int,
    channels: str = "all",
    *,
    retrieval: RetrievalName = "map",
    weights: Path | None = None,
    textures: Path | None = None,
    start: Path | None = None,
    cache: Path | None = None,
    save: Path | None = None,
    report: loop.Report | None = None,
    kept: Kept | None = None,
) -> Result:
    """Train ``preset`` on ``split.train`` of ``scans`` and judge ``split.test`` (indices in the whole data set).

    ``channels``: a set of :data:`training.fit_network.channels.CHANNELS`; ``retrieval``: which of a scan's images;
    ``weights``: file or folder of the trunk's (the paper's networks only); ``textures``: folder of the Describable
    Textures (type II only), None for what takes their place; ``start``: folder of what a pretrained preset goes on
    from; ``cache``: folder of planes and features, by default inside the data set; ``save``: file of the
    checkpoint that an interrupted training continues from; ``kept``: scores of weights that are taken as they came, for
    the next call: they are the same in every split.
    ValueError for unknown names, a split whose parts overlap, and files that do not fit.
    """
    chosen = preset_of(preset) if isinstance(preset, str) else preset
    both = sorted(set(split.train) & set(split.test))
    if both:
        raise ValueError(f"split: scans {both[:5]} are both to train with and to test on")
    store = Store(scans, retrieval, cache)
    labels = np.array([scans.manifest.scans[index].label for index in split.test], np.int64)
    planes = planes_of(channels)
    began = time.monotonic()
    if isinstance(chosen, GrainPreset):
        if chosen.pretrained and start is None:
            raise ValueError(f"preset {chosen.name}: goes on from other weights; give their folder (--start)")
        before = load(start, channels, scans) if chosen.pretrained and start else None
        known: dict[int, float] | None = None
        if kept is not None and before and chosen.steps == 0:
            known = kept.setdefault((before.source.sha256, str(store.folder)), {})
        trained = grain.fit(chosen, store, split.train, planes, seed, save, report, before, known)
        fitted = time.monotonic()
        scores = trained.platt.probability(grain.scores(trained.network, store, split.test, known))
        source = before.source if before else Weights(f"none: random, seed {seed}")
    else:
        fit = paper.fit(chosen, store, split.train, planes, seed, weights, save, report, textures)
        fitted = time.monotonic()
        scores = fit.scores(split.test)
        source = fit.weights
    metrics = summary(scores, labels)
    metrics |= {"train_s": fitted - began, "test_s": time.monotonic() - fitted}
    return Result(scores, labels, metrics, source)
