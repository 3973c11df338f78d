"""Gradient-boosted trees of fixed depth for the logistic loss; small, deterministic, histogram splits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge.inference.model_file import Trees
from kernels.types import F64

TREES, DEPTH, RATE = 150, 3, 0.05
#: Fits on different random rows that are averaged: the few targets make a single one jumpy.
ENSEMBLES = 3
#: Pull of a leaf to zero, fewest rows in a leaf, candidate cuts of an input.
RIDGE, FEWEST, CUTS = 5.0, 20, 24
#: Rows that each tree sees, of targets and of the (many) others.
SAMPLED_TARGETS, SAMPLED_OTHERS = 0.8, 0.3

U8 = npt.NDArray[np.uint8]


def boost(rows: F64, is_target: F64, seed: int) -> Trees:
    """Fit ``rows`` (n, inputs) to ``is_target`` (n,) of 0 and 1: the mean of :data:`ENSEMBLES` fits.

    ValueError when either kind is missing.
    """
    found = int(is_target.sum())
    if not 0 < found < len(is_target):
        raise ValueError(f"{found} of {len(is_target)} training regions are targets; both kinds are needed")
    fits = [_boost(rows, is_target, seed, k) for k in range(ENSEMBLES)]
    return Trees(
        base=fits[0].base,
        input=tuple(nodes for fit in fits for nodes in fit.input),
        cut=tuple(nodes for fit in fits for nodes in fit.cut),
        leaf=tuple(tuple(float(f"{v / ENSEMBLES:.5g}") for v in leaf) for fit in fits for leaf in fit.leaf),
    )


def _boost(rows: F64, is_target: F64, seed: int, number: int) -> Trees:
    share = float(is_target.mean())
    rng = np.random.default_rng([seed, 0xB0, number])
    cuts = np.quantile(rows, np.linspace(0.02, 0.98, CUTS), axis=0).T  # (inputs, CUTS)
    bins = np.stack([np.searchsorted(c, column) for c, column in zip(cuts, rows.T, strict=True)], 1).astype(np.uint8)
    base = float(np.log(share / (1 - share)))
    odds = np.full(len(rows), base)
    chance = np.where(is_target > 0, SAMPLED_TARGETS, SAMPLED_OTHERS)
    inputs, places, leaves = [], [], []
    for _ in range(TREES):
        probability = 1 / (1 + np.exp(-odds))
        taken = (rng.random(len(rows)) < chance) / chance
        gradient, curvature = taken * (probability - is_target), taken * probability * (1 - probability)
        chosen, cut, leaf, where = _tree(bins, gradient, curvature, taken > 0)
        odds += leaf[where]
        inputs.append(tuple(int(i) for i in chosen))
        places.append(tuple(float(f"{cuts[i, c]:.6g}") for i, c in zip(chosen, cut, strict=True)))
        leaves.append(tuple(float(f"{value:.5g}") for value in leaf))
    return Trees(base=float(f"{base:.6g}"), input=tuple(inputs), cut=tuple(places), leaf=tuple(leaves))


def _tree(
    bins: U8, gradient: F64, curvature: F64, taken: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], F64, npt.NDArray[np.int64]]:
    """Input and cut of each split node, value of each leaf, and the leaf of each row."""
    splits = 2**DEPTH - 1
    chosen, cut = np.zeros(splits, np.int64), np.full(splits, CUTS - 1)
    node = np.zeros(len(bins), np.int64)
    for k in range(splits):
        here = np.flatnonzero(node == k)
        seen = here[taken[here]]
        found = _best_split(bins[seen], gradient[seen], curvature[seen])
        if found is not None:
            chosen[k], cut[k] = found
        node[here] = 2 * k + 1 + (bins[here, chosen[k]] > cut[k])
    where = node - splits
    pull = np.bincount(where, gradient, splits + 1)
    leaf: F64 = -RATE * pull / (np.bincount(where, curvature, splits + 1) + RIDGE)
    return chosen, cut, leaf, where


def _best_split(bins: U8, gradient: F64, curvature: F64) -> tuple[int, int] | None:
    """Input and cut of the largest gain; None when no cut leaves enough rows on both sides."""
    best: tuple[float, tuple[int, int]] | None = None
    total, stiffness, n = gradient.sum(), curvature.sum(), len(bins)
    for k in range(bins.shape[1]):
        left = np.cumsum(np.bincount(bins[:, k], gradient, CUTS + 1))[:-1]
        soft = np.cumsum(np.bincount(bins[:, k], curvature, CUTS + 1))[:-1]
        count = np.cumsum(np.bincount(bins[:, k], minlength=CUTS + 1))[:-1]
        gain = left**2 / (soft + RIDGE) + (total - left) ** 2 / (stiffness - soft + RIDGE)
        gain[(count < FEWEST) | (n - count < FEWEST)] = -np.inf
        at = int(np.argmax(gain))
        if np.isfinite(gain[at]) and (best is None or gain[at] > best[0]):
            best = (float(gain[at]), (k, at))
    return None if best is None or best[0] <= total**2 / (stiffness + RIDGE) + 1e-6 else best[1]
