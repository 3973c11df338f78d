"""Decisions about the kept bags of :mod:`training.drift_bags`: which of them drift changes.

Detectors, inference engine and rules are those of the lane. A fused network and the discriminator alone judge the same
images, so that another bundle can be tried on them within minutes. All is simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import numpy as np
from scipy.special import logit

from calibration.signing import KeyStore
from edge.config import Config
from edge.inference.bundle import load
from edge.inference.engine import InferenceEngine
from edge.inference.examination import MaterialDetector
from edge.inference.lane_detector import LaneDetector
from edge.inference.model_file import shipped
from edge.inference.model_folder import SHIPPED, ModelFolder
from edge.inference.models import check_active
from edge.inference.network import open_network
from edge.messages import Assessment, Fault
from edge.retrieval.engine import Output
from edge.verdict.policy import Limits, judge
from training.drift_bags import CONDITIONS, STEADY, DriftedBags, lane_config

#: What judges, in the order of the tables.
FUSED, ALONE = "network and discriminator", "discriminator alone"
#: Probabilities nearer to 0 or 1 count as this.
LEAST = 1e-4
#: Kept images on their way to the detectors: what else may be done to them.
Change = Callable[[int, str, Iterator[Output]], Iterator[Output]]


@dataclass(frozen=True)
class Judged:
    """What the lane says of one bag in one condition. ``shift_um`` and ``output`` are measured in its air.

    ``parts``: what each model of the detector says by itself.
    """

    decision: str
    score: float
    shift_um: float
    output: float
    parts: dict[str, float]


@dataclass(frozen=True)
class DriftedBag:
    """One bag: what it is, the drift it really had, and what was said of it under each condition."""

    tag: str
    target: str | None
    shift_um: float
    output: float
    judged: dict[str, Judged]

    def changed(self, condition: str) -> bool:
        """Whether the decision is another one than without drift."""
        return self.judged[condition].decision != self.judged[STEADY].decision

    def moved(self, condition: str) -> float:
        """How far the score is from that without drift."""
        return abs(self.judged[condition].score - self.judged[STEADY].score)


def detectors(config: Config, bundle: Path | None = None, keys: Path | None = None) -> dict[str, LaneDetector]:
    """The active network fused with the discriminator, and the discriminator alone.

    ``bundle``: folder of a fused one; None takes the shipped one. ``keys``: None takes those beside it. Raises
    :class:`~edge.inference.bundle.ModelBundleError` where the lane would refuse it.
    """
    table = config.inference
    material = MaterialDetector(
        shipped(config.scanner.tube_kv), min_area_mm2=table.min_area_mm2, threshold=table.threshold
    )
    if bundle is None:
        opened = ModelFolder(config.state_dir).load(SHIPPED)
    else:
        opened = load(bundle, KeyStore(keys or bundle.parent / "keys"))
    network = open_network(opened, table.runtime, table.threads or 1, config.scanner)
    fused = LaneDetector(material, check_active(network, material), threshold=table.threshold)
    return {FUSED: fused, ALONE: LaneDetector(material, threshold=table.threshold)}


def decide(
    bags: DriftedBags,
    detector: LaneDetector,
    conditions: Sequence[str] = tuple(CONDITIONS),
    change: Change | None = None,
) -> Iterator[DriftedBag]:
    """Judge every kept bag under ``conditions``; ``change``, if any, is done to its images first."""
    limits = Limits.of(lane_config(bags.recipe.native_rows, Path(gettempdir())))
    for k, item in enumerate(bags.recipe.items()):
        output, shift_um = bags.recipe.drift(k)
        judged = {}
        for condition in conditions:
            slabs = bags.slabs(k, condition)
            judged[condition] = _judged(detector, limits, slabs if change is None else change(k, condition, slabs))
        yield DriftedBag(item.tag, item.target, shift_um, output, judged)


def _judged(detector: LaneDetector, limits: Limits, slabs: Iterator[Output]) -> Judged:
    engine, found = InferenceEngine(detector), None
    for slab, arrays in slabs:
        found = engine.handle(slab, arrays)
    assert found is not None, "the last slab gives an assessment"
    verdict = judge(found, limits, None, found.last_frame_t_ns)
    decision = verdict.decision.value + _because(verdict.reason)
    return Judged(decision, found.score, _shift_um(found), float(np.mean(found.air_scale)), found.contributions)


def _because(reason: Fault | None) -> str:
    return "" if reason is None else f"/{reason.value}"


def _shift_um(found: Assessment) -> float:
    return 0.0 if found.drift is None else found.drift.mask_shift_um


def heading(conditions: Sequence[str] = tuple(CONDITIONS)) -> str:
    """Head of the table of :func:`line`."""
    names = ("bag", "target", "tube", "mask, µm", "measured, µm", *conditions)
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def line(bag: DriftedBag) -> str:
    """One row of the table."""
    measured = bag.judged.get("corrected", bag.judged[STEADY]).shift_um
    cells = (f"{j.decision} {j.score:.3f}" for j in bag.judged.values())
    drift = f"{bag.output - 1:+.1%} | {bag.shift_um:+.2f} | {measured:+.2f}"
    return f"| {bag.tag} | {bag.target or ''} | {drift} | " + " | ".join(cells) + " |"


def summary(bags: Sequence[DriftedBag]) -> str:
    """How many decisions each condition changed, and by how much it moved scores."""
    alarms = [bag.target is not None for bag in bags if bag.judged[STEADY].decision == "ALARM"]
    lines = [
        f"{STEADY}: {sum(alarms)} of {sum(bag.target is not None for bag in bags)} bags with a target alarm, and "
        f"{len(alarms) - sum(alarms)} of {sum(bag.target is None for bag in bags)} without",
    ]
    for name in bags[0].judged:
        if name == STEADY:
            continue
        changed = [bag for bag in bags if bag.changed(name)]
        unknown = sum(bag.judged[name].decision.startswith("UNKNOWN") for bag in changed)
        away = np.asarray([bag.moved(name) for bag in bags])
        lines.append(
            f"{name}: {len(changed)} of {len(bags)} decisions changed, {unknown} of them to UNKNOWN; score moved by "
            f"{np.median(away):.3f} in the median, by more than 0.2 in {np.count_nonzero(away > 0.2)}; "
            f"log odds moved by {_moved(bags, name, lambda judged: judged.score):.2f} (rms)" + _parts_moved(bags, name)
        )
    return "\n".join(lines)


def _parts_moved(bags: Sequence[DriftedBag], name: str) -> str:
    told = [set(judged.parts) for bag in bags for judged in (bag.judged[name], bag.judged[STEADY])]
    parts = sorted(set.intersection(*told))
    return "".join(f", {part} {_moved(bags, name, lambda j, part=part: j.parts[part]):.2f}" for part in parts)  # type: ignore[misc]


def _moved(bags: Sequence[DriftedBag], name: str, of: Callable[[Judged], float]) -> float:
    """Move of log odds against the scan without drift, rms."""
    scores = np.asarray([[of(bag.judged[name]), of(bag.judged[STEADY])] for bag in bags])
    now, then = logit(np.clip(scores, LEAST, 1 - LEAST)).T
    return float(np.sqrt(np.mean((now - then) ** 2)))
