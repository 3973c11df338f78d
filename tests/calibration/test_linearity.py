"""Thickness linearisation: what is bent becomes straight, what is straight or noise stays as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from calibration.linearity import WedgeSteps, bend, fit_linearisation, linearise

F64 = npt.NDArray[np.float64]
MM: F64 = np.arange(1, 16, dtype=np.float64) * 2.5


def wedge(per_mm: float, dark_per_mm: float, seed: int, *, hardening: float = 0.06, noise: float = 1e-3) -> WedgeSteps:
    """Signals that bend as the beam hardens: slopes fall with attenuation, the dark-field's four times as fast."""
    attenuation = per_mm * MM
    factor = np.array([1.0, 0.6])
    bent = np.empty((3, 2, MM.size))
    for b in range(2):
        loss = attenuation * factor[b]
        bent[0, b] = loss / (1 + hardening * loss)
        bent[1, b] = dark_per_mm * MM * (1.0, 0.2)[b] / (1 + 4 * hardening * loss)
        bent[2, b] = 0.6 * loss / (1 + 0.5 * hardening * loss)
    sd = np.maximum(noise * np.abs(bent).max(axis=-1, keepdims=True), 1e-6) * np.ones(MM.size)
    return WedgeSteps(MM, bent + np.random.default_rng(seed).normal(0, sd), sd)


REFERENCES = [wedge(0.045, 8.0, 1), wedge(0.05, 1.5, 2)]


def test_other_materials_become_straight_too() -> None:
    correction = fit_linearisation(REFERENCES)
    other = wedge(0.04, 4.0, 3)
    corrected = linearise(correction, other.signals)
    for s in range(3):
        for b in range(2):
            before = bend(MM, other.signals[s, b], other.sd[s, b])
            after = bend(MM, corrected[s, b], other.sd[s, b])
            assert after < max(0.25 * before, 5e-3), (s, b, before, after)


def test_ratios_become_independent_of_thickness() -> None:
    correction = fit_linearisation(REFERENCES)
    other = wedge(0.04, 4.0, 3)
    for signals, tolerance in ((other.signals, None), (linearise(correction, other.signals), 0.02)):
        ratio = signals[1, 0] / signals[1, 1]
        drift = float(np.ptp(ratio[3:]) / ratio.mean())
        if tolerance is None:
            assert drift > 0.05
        else:
            assert drift < tolerance


def test_a_straight_wedge_is_left_alone() -> None:
    correction = fit_linearisation([wedge(0.045, 8.0, 4, hardening=0.0), wedge(0.05, 1.5, 5, hardening=0.0)])
    signals = wedge(0.04, 3.0, 6, hardening=0.0).signals
    np.testing.assert_allclose(linearise(correction, signals), signals, rtol=0.01)


def test_noise_alone_bends_nothing() -> None:
    noisy = []
    for k in (7, 8):
        made = wedge(0.045, 0.0, k)
        signals, sd = made.signals.copy(), made.sd.copy()
        signals[1] += np.random.default_rng(k).normal(0, 5, signals[1].shape)
        sd[1] = 5.0
        noisy.append(replace(made, signals=signals, sd=sd))
    assert not fit_linearisation(noisy).coefficients[1].any()


def test_beyond_the_wedge_the_factor_stays() -> None:
    correction = fit_linearisation(REFERENCES)
    edge = np.full((3, 2, 1), 3.0)
    far = np.full((3, 2, 1), 30.0)
    edge[1], far[1] = 400.0, 4000.0
    np.testing.assert_allclose(linearise(correction, far) / far, linearise(correction, edge) / edge)


def test_any_shape_keeps_its_shape_and_zero_stays_zero() -> None:
    correction = fit_linearisation(REFERENCES)
    assert not linearise(correction, np.zeros((3, 2, 4, 5))).any()


@pytest.mark.parametrize(
    ("wedges", "sentence"),
    [
        (REFERENCES[:1], "two of different materials"),
        ([REFERENCES[0], replace(REFERENCES[1], sd=REFERENCES[1].sd * 0)], r"wedges\[1\].*finite"),
        ([replace(REFERENCES[0], thickness_mm=-MM), REFERENCES[1]], r"wedges\[0\].*above 0"),
        ([replace(REFERENCES[0], thickness_mm=MM[:3]), REFERENCES[1]], r"wedges\[0\]: shapes"),
    ],
)
def test_bad_wedges_are_named(wedges: list[WedgeSteps], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        fit_linearisation(wedges)
    with pytest.raises(ValueError, match="signals: shape"):
        linearise(fit_linearisation(REFERENCES), np.zeros((2, 2)))
