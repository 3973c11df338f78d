"""Every constant of the kernels, in one table that the host, GPU and reference code all receive."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

from kernels.types import F32

#: Phases, bins and detector columns of the acquisition that the kernels are laid out for.
GROUPS = 4
BINS = 2
COLUMNS = 128


@dataclass(frozen=True)
class Settings:
    """Bounds, tolerances and damping of the retrieval; the field order is that of ``Settings`` in settings.cuh."""

    pitch_um: float = 75.0  # distance of neighbouring sample points and curves, physics.md 3
    t_min: float = 0.0
    t_max: float = 3.0
    refraction_max_um: float = 25.0
    dark_field_min_um2: float = -100.0  # negative is allowed: air must come out unbiased
    dark_field_max_um2: float = 3000.0
    offset_min: float = -0.5
    offset_max: float = 3.0
    variance_fraction: float = 0.3  # a curve never gets narrower than this fraction of its own variance
    floor_counts: float = 1.0  # no variance is taken below this many counts
    lambda_start: float = 1e-3
    lambda_accept: float = 0.05
    lambda_reject: float = 10.0
    lambda_min: float = 1e-7
    lambda_max: float = 1e7
    tolerance: float = 1e-3  # scaled step at which iterating stops, 5 times it with a prior; one undamped step follows
    step_t: float = 1.0  # scales of the four unknowns in the stopping rule
    step_refraction_um: float = 10.0
    step_dark_field_um2: float = 150.0
    step_offset: float = 1.0
    max_iterations: float = 30.0
    prior_t_min: float = 1e-3  # the prior sees no transmission below this
    prior_ln_min: float = -12.0  # and predicts no ln o outside these two
    prior_ln_max: float = 0.5
    prior_sd_min: float = 1e-5
    chi2_exact: float = 0.05  # four unknowns from four samples: more than this is no exact root
    chi2_map: float = 40.0  # χ² of one bin in `map` above this: no t, Δ, τ² explains the samples
    low_counts: float = 50.0  # fewer counts than this in the sum of the four samples
    saturated_counts: float = 1e9
    singular_spread: float = 0.5  # σ(τ²) over the variance of the blurred curve: more is no measurement
    singular_width: float = 0.49  # σ of the blurred curve over the pitch: neighbours merge, τ² has two answers
    singular_pivot: float = 1e-5  # smallest pivot of a unit diagonal: float32 leaves no accurate σ below
    prior_dominated_sd: float = 1.0  # σ(o) of the samples alone is as wide as the range of o
    ratio_significance: float = 3.0  # a denominator, or an amplitude, must exceed this many σ
    pile_up_fraction: float = 0.9  # of the highest rate that a dead time lets through: more is saturated
    stepped_iterations: float = 200.0  # with o free, valleys of a regular mask are long
    gain_least: float = 1e-6  # with o free, iterating also stops where a step would lower χ² by less than this,
    gain_part: float = 0.05  # or, where no exact root is near, by less than this part of it
    singular_spread_free: float = 0.15  # singular_spread with o free: t, τ² and o then err together
    second_order_spread: float = 0.01  # σ(τ²)/blurred variance, with o free σ(t)/t: from here on skew is looked at
    bias_least: float = 0.05  # a bias of this part of a σ is left alone, what is more is taken off,
    bias_most: float = 0.5  # but not more than this: beyond, two orders are too few
    skew_growth: float = 0.09  # growth of σ within one σ: more, and 5 σ is not what it is of a normal law
    skew_reach: float = 3.0  # σ of `map` is wider by that many times its growth: half of a 5-σ interval, and a little
    map_coverage: float = 1.15  # coverage factor of `map`: its σ are that many standard deviations
    skew_growth_free: float = 0.05  # skew_growth with o free: σ is not made wider there

    def vector(self) -> F32:
        """All fields, in order, as the (n,) float32 argument of the compiled kernels."""
        return np.asarray(astuple(self), dtype=np.float32)


SETTINGS = Settings()
