"""The model file and the posteriors it gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edge.inference.discriminator import CLUTTER, OUTLIER, Discriminator
from edge.inference.evidence import log_density_scale
from edge.inference.features import Step
from edge.inference.model_file import ModelError, parse, shipped
from tests.edge.inference_scene import MODEL, planes_of

PRECISE = np.diag([0.001, 0.001, 0.001, 0.001, 0.1, 0.1]) ** 2


@pytest.mark.parametrize("tube_kv", [80, 120])
def test_the_shipped_models_are_intact_and_know_every_material(tube_kv: int) -> None:
    model = shipped(tube_kv)
    assert model.manifest.tube_kv == tube_kv
    assert model.manifest.sha256 == model.digest()
    assert len(model.classes) == 36
    assert sum(c.threat for c in model.classes) == 7
    assert "simulated" in model.manifest.data
    assert model.clutter is not None
    assert model.decision is not None
    false = model.manifest.training_false_alarms
    clean = model.manifest.training_bags - model.manifest.training_targets
    assert 0 < false <= model.manifest.false_alarm_limit * clean


def test_an_altered_model_is_refused(tmp_path: Path) -> None:
    text = json.dumps(shipped(80).model_dump(mode="json"))
    assert parse(text, "a").threshold == shipped(80).threshold
    with pytest.raises(ModelError, match="it was altered"):
        parse(text.replace(f'"threshold": {shipped(80).threshold}', '"threshold": 0.99'), "a")
    with pytest.raises(ModelError, match="not valid JSON"):
        parse(text[:-3], "a")
    with pytest.raises(ModelError, match="classes"):
        parse(json.dumps({**json.loads(text), "classes": []}), "a")
    with pytest.raises(ModelError, match="no model is shipped for 100 kVp"):
        shipped(100)


def step(values: np.ndarray, share: float = 1.0, within: bool = False) -> Step:
    return Step(np.asarray(values), PRECISE, (0.0, 0.0), share, within)


@pytest.mark.parametrize("material", ["Semtex1A", "TSR_AN", "Permonex", "paper", "rubber", "PE", "Al", "PVC"])
def test_a_material_at_its_own_mean_is_named(material: str) -> None:
    discriminator = Discriminator(MODEL)
    posterior = discriminator.judge([step(planes_of(material, 0.6))], 800.0)
    assert posterior is not None
    assert posterior.probabilities.sum() == pytest.approx(1.0)
    known = [c for c in discriminator.candidates(posterior) if c.material not in (CLUTTER, OUTLIER)]
    similar = {"PE": {"PE", "jelly"}, "Al": {"Al", "glass"}}.get(material, {material})
    assert known[0].material in similar


def test_a_container_is_seen_through() -> None:
    """The planes of the acrylic container added to a filling leave the filling the likeliest explanation."""
    container = np.array(next(p.planes for p in MODEL.packings if p.name != "bare"))
    discriminator = Discriminator(MODEL)
    posterior = discriminator.judge([step(planes_of("Semtex1A", 0.5) + container)], 800.0)
    assert posterior is not None
    evidence = dict(zip(discriminator.explanations.names, posterior.probabilities, strict=False))
    assert max(evidence, key=lambda name: evidence[name]) == "Semtex1A"


def test_what_is_like_nothing_known_is_unknown() -> None:
    strange = planes_of("PE", 0.6)
    strange[1], strange[5] = strange[0] * 0.9, 60.0
    posterior = Discriminator(MODEL).judge([step(strange)], 800.0)
    assert posterior is not None
    assert posterior.threat < 0.05
    assert posterior.outlier > 0.5


def test_a_part_of_something_is_no_threat_of_its_own() -> None:
    discriminator = Discriminator(MODEL)
    assert discriminator.judge([step(planes_of("C4", 0.6), within=True)], 800.0) is None
    alone = discriminator.judge([step(planes_of("Semtex1A", 0.6), 0.5)], 800.0)
    explained = discriminator.judge(
        [step(planes_of("Semtex1A", 0.6), 0.5), step(planes_of("leather", 0.3), 0.5, within=True)], 800.0
    )
    assert alone is not None
    assert explained is not None
    assert explained.threat < alone.threat


def test_the_decision_replaces_the_share_of_the_threats() -> None:
    whole = Discriminator(shipped(80))
    for material in ("Semtex1A", "PE"):
        posterior = whole.judge([step(planes_of(material, 0.6))], 800.0)
        assert posterior is not None
        assert posterior.probabilities.sum() == pytest.approx(1.0)
        threats = posterior.probabilities[:-2][whole.explanations.threat].sum()
        assert posterior.threat == pytest.approx(threats)
        assert 0 < posterior.threat < 1


def test_densities_of_one_measurement_share_their_measure() -> None:
    """d(features)/d(planes) by finite differences."""
    values = planes_of("C4", 0.5)

    def features(high: np.ndarray) -> np.ndarray:
        a_hi, o_hi, t_lo, t_hi = high
        return np.array([values[0] / a_hi, values[2] / o_hi, t_lo / values[0], t_hi / a_hi])

    at = values[[1, 3, 4, 5]]
    jacobian = np.stack([(features(at + e) - features(at - e)) / 2e-6 for e in 1e-6 * np.eye(4)], axis=1)
    # ln(d ratio) per plane with ln a_lo of τ²_low's divisor cancelling ln a_lo of R_ab.
    assert log_density_scale(values) == pytest.approx(float(np.log(abs(np.linalg.det(jacobian)))), abs=1e-4)
