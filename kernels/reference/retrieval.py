"""Retrieval of (t, Δ, τ², o) in float64: the estimator that the compiled kernels must reproduce.

Poisson maximum likelihood as iteratively reweighted least squares (weights from the model of the current point),
solved by Levenberg-Marquardt on all unknowns of a pixel at once: four for `paper` and `full`, eight for `map`,
whose prior o ~ N(f(t_low, t_high), s²) ties the two bins together. There the fourth unknown is z in o = f + s z:
z ~ N(0, 1) whatever s is, and s → 0 becomes the fit of three unknowns instead of a narrow curved valley.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kernels.reference import prior as prior_reference
from kernels.reference import second_order
from kernels.reference.linear import variances, weakest_pivot
from kernels.reference.model import DARK_FIELD, OFFSET, Curves, T, evaluate, widen
from kernels.settings import BINS, GROUPS, SETTINGS
from kernels.types import F64, Flag, IlluminationCurves, Model, OffsetPrior

_ITERATIONS = 300
_TOLERANCE = 1e-11
_SCALE = np.array([SETTINGS.step_t, SETTINGS.step_refraction_um, SETTINGS.step_dark_field_um2, SETTINGS.step_offset])
Bools = npt.NDArray[np.bool_]


class Problem:
    """``n`` pixels of ``b`` bins fitted together: data (n, b, 4), gain (n,), curves (n, b, …)."""

    def __init__(self, y: F64, gain: F64, curves: Curves, x_um: float, model: Model, prior: OffsetPrior | None) -> None:
        self.y, self.gain, self.curves, self.x_um, self.model = y, gain, curves, x_um, model
        self.prior = prior if model == "map" else None
        variance = curves[2].min(axis=-1) ** 2
        s = SETTINGS
        low_tau2 = np.maximum(s.dark_field_min_um2, -(1 - s.variance_fraction) * variance)
        full = np.ones_like(low_tau2)
        lows = (s.t_min * full, -s.refraction_max_um * full, low_tau2, s.offset_min * full)
        self.low = np.stack(lows, axis=-1)
        self.high = np.array([s.t_max, s.refraction_max_um, s.dark_field_max_um2, s.offset_max])

    def tie(self, p: F64) -> tuple[F64, F64, F64]:
        """o (n, b), do/dt (n, b of o, b of t) and do/dz (b,) at the unknowns ``p`` (n, b, 4)."""
        if self.prior is None:
            n, bins = p.shape[:2]
            return p[..., OFFSET], np.zeros((n, bins, bins)), np.ones(bins)
        o, slope = prior_reference.predict(self.prior, np.moveaxis(p[..., T], 0, -1))
        sd = np.maximum(np.asarray(self.prior.sd, dtype=np.float64), SETTINGS.prior_sd_min)
        return o.T + sd * p[..., OFFSET], np.moveaxis(slope, -1, 0), sd

    def physical(self, p: F64) -> F64:
        """``p`` with o in place of z."""
        return np.concatenate([p[..., :OFFSET], self.tie(p)[0][..., None]], axis=-1)

    def unknowns(self, physical: F64) -> F64:
        """The inverse of :meth:`physical`."""
        p = np.array(physical, dtype=np.float64)
        p[..., OFFSET] = 0.0
        o, _, sd = self.tie(p)
        p[..., OFFSET] = (physical[..., OFFSET] - o) / sd
        return self.clip(p)

    def clip(self, p: F64) -> F64:
        """``p`` on the bounds of t, Δ, τ² and o."""
        p = np.concatenate([np.clip(p[..., :OFFSET], self.low[..., :OFFSET], self.high[:OFFSET]), p[..., OFFSET:]], -1)
        o, _, sd = self.tie(p)
        p[..., OFFSET] += (np.clip(o, SETTINGS.offset_min, SETTINGS.offset_max) - o) / sd
        return p

    def system(self, p: F64) -> tuple[F64, F64, F64, F64]:
        """Residuals (n, m), Jacobian (n, m, 4 b), weights (n, m) of samples and prior; d counts/d(t, Δ, τ², o)."""
        n, bins = p.shape[:2]
        _, slope, sd = self.tie(p)
        counts, slopes = evaluate(self.curves, self.x_um, self.physical(p), self.model)
        weight = self.gain[:, None, None] / np.maximum(counts, SETTINGS.floor_counts / self.gain[:, None, None])
        parts: F64 = np.zeros((n, bins, GROUPS, bins, 4))
        for b in range(bins):
            parts[:, b, :, b, :] = slopes[:, b]
            parts[:, b, :, b, OFFSET] *= sd[b]
            parts[:, b, :, :, T] += slopes[:, b, :, OFFSET, None] * slope[:, b, None, :]
        residual = (self.y - counts).reshape(n, -1)
        jacobian = parts.reshape(n, bins * GROUPS, bins * 4)
        weight = weight.reshape(n, -1)
        if self.prior is not None:
            rows = np.zeros((n, bins, bins, 4))
            for b in range(bins):
                rows[:, b, b, OFFSET] = 1.0
            residual = np.concatenate([residual, -p[..., OFFSET]], axis=1)
            jacobian = np.concatenate([jacobian, rows.reshape(n, bins, bins * 4)], axis=1)
            weight = np.concatenate([weight, np.ones((n, bins))], axis=1)
        return residual, jacobian, weight, slopes

    def start(self) -> F64:
        """t from the sum of the samples, z = 0 or o = t, no refraction and no dark-field."""
        air = np.zeros((*self.y.shape[:2], 4))
        air[..., T] = air[..., OFFSET] = 1.0
        counts, _ = evaluate(self.curves, self.x_um, air, self.model)
        p = np.zeros_like(air)
        p[..., T] = np.clip(self.y.sum(-1) / counts.sum(-1), 1e-3, SETTINGS.t_max)
        p[..., OFFSET] = p[..., T]
        if self.prior is not None:
            p[..., OFFSET] = 0.0
        return self.clip(p)


def solve(problem: Problem, start: F64 | None) -> tuple[F64, Bools]:
    """Levenberg-Marquardt with projection on the bounds; returns unknowns (n, b, 4) and converged (n,)."""
    p = problem.start() if start is None else problem.unknowns(start)
    n, bins = p.shape[:2]
    damping = np.full(n, SETTINGS.lambda_start)
    done = np.zeros(n, dtype=bool)
    for _ in range(_ITERATIONS):
        residual, jacobian, weight, _ = problem.system(p)
        normal = np.einsum("nmi,nm,nmj->nij", jacobian, weight, jacobian)
        gradient = np.einsum("nmi,nm,nm->ni", jacobian, weight, residual).reshape(p.shape)
        at = problem.physical(p)
        stuck = ((at <= problem.low) & (gradient < 0)) | ((at >= problem.high) & (gradient > 0))
        free = ~stuck.reshape(n, -1)
        normal = normal * free[:, :, None] * free[:, None, :]
        diagonal = np.einsum("nii->ni", normal)
        # What the samples do not determine (t = 0 leaves Δ and τ² without effect) is held by a tiny ridge.
        damped = diagonal * damping[:, None] + 1e-12 * diagonal.max(axis=1, keepdims=True) + ~free
        damped = np.where(diagonal > 0, damped, 1.0)
        system = normal + np.einsum("ni,ij->nij", damped, np.eye(bins * 4))
        step = np.linalg.solve(system, (gradient.reshape(n, -1) * free)[..., None])[..., 0].reshape(p.shape)
        trial = problem.clip(p + step)
        cost = (weight * residual**2).sum(1)
        better = (weight * problem.system(trial)[0] ** 2).sum(1) <= cost * (1 + 1e-13)
        moved = np.abs((trial - p) / _SCALE).max(axis=(1, 2))
        p = np.where((better & ~done)[:, None, None], trial, p)
        done |= moved < _TOLERANCE
        damping = np.clip(damping * np.where(better, SETTINGS.lambda_accept, SETTINGS.lambda_reject), 1e-12, 1e12)
        done |= damping >= 1e12
        if done.all():
            break
    return p, done


def _describe(problem: Problem, p: F64, converged: Bools, corrected: bool) -> tuple[F64, F64, npt.NDArray[np.uint16]]:
    """Unknowns without their bias, 1-σ (n, b, 4) from the inverse of JᵀWJ, prior included, and flags (n, b)."""
    n, bins = p.shape[:2]
    residual, jacobian, weight, slopes = problem.system(p)
    at = problem.physical(p)
    _, tied, sd = problem.tie(p)
    # Rows of d(t, Δ, τ², o)/d(unknowns): the identity but for o = f(t) + s z.
    chain = np.broadcast_to(np.eye(bins * 4), (n, bins * 4, bins * 4)).reshape(n, bins, 4, bins, 4).copy()
    for b in range(bins):
        chain[:, b, OFFSET, b, OFFSET] = sd[b]
        chain[:, b, OFFSET, :, T] = tied[:, b]
    normal = np.einsum("nmi,nm,nmj->nij", jacobian, weight, jacobian)
    chain = chain.reshape(n, bins * 4, bins * 4)
    variance = variances(normal, chain).reshape(p.shape)
    sigma = np.sqrt(np.where(variance > 0, variance, np.inf))
    flags = np.where(converged[:, None], 0, int(Flag.NOT_CONVERGED)) * np.ones((1, bins), dtype=int)
    terms = weight * residual**2
    chi2 = terms[:, : bins * GROUPS].reshape(n, bins, GROUPS).sum(-1)
    if problem.prior is None:
        flags |= np.where(chi2 > SETTINGS.chi2_exact, int(Flag.NO_EXACT_ROOT), 0)
    else:
        chi2 = chi2 + terms[:, bins * GROUPS :]
        flags |= np.where(chi2 > SETTINGS.chi2_map, int(Flag.NO_EXACT_ROOT), 0)
        for b in range(bins):
            own = np.einsum("nmi,nm,nmj->nij", slopes[:, b], weight[:, b * GROUPS : (b + 1) * GROUPS], slopes[:, b])
            alone = variances(own, np.broadcast_to(np.eye(4), (n, 4, 4)))[:, OFFSET]
            dominated = ~(alone < SETTINGS.prior_dominated_sd**2)
            flags[:, b] |= np.where(dominated, int(Flag.PRIOR_DOMINATED), 0)
    # Close to a bound counts: a fit that runs into one may stop a little before it. t = 0 is a bound, small t is not.
    close = 10 * SETTINGS.tolerance * _SCALE
    hit = ((at <= problem.low + close * [0, 1, 1, 1]) | (at >= problem.high - close)).any(-1)
    flags |= np.where(hit, int(Flag.BOUND_HIT), 0)
    blurred = at[..., DARK_FIELD] + (problem.curves[2] ** 2).mean(axis=-1)
    spread = SETTINGS.singular_spread_free if problem.prior is None else SETTINGS.singular_spread
    sharp = sigma[..., DARK_FIELD] < spread * blurred
    narrow = blurred < (SETTINGS.singular_width * SETTINGS.pitch_um) ** 2
    regular = (weakest_pivot(normal) > SETTINGS.singular_pivot)[:, None]
    flags |= np.where(sharp & narrow & regular, 0, int(Flag.SINGULAR))
    few = problem.y.sum(-1) * problem.gain[:, None] < SETTINGS.low_counts
    flags |= np.where(few, int(Flag.LOW_COUNTS), 0)
    if not corrected:
        return p, sigma, flags.astype(np.uint16)
    return second_order.apply(problem, p, normal, chain, sigma, flags.astype(np.uint16))


def retrieve(
    samples: F64,
    curves: IlluminationCurves,
    x_um: float,
    exposure: F64,
    variance_factor: F64,
    model: Model,
    prior: OffsetPrior | None,
    start: F64 | None = None,
    corrected: bool = True,
) -> tuple[F64, F64, npt.NDArray[np.uint16]]:
    """Arguments and results of :func:`kernels.retrieve`: images, sigma (4, 2, rows, cols), flags (2, rows, cols).

    ``start`` (4, 2, rows, cols): where to begin. With o free a pixel can have two exact roots; which one a solver finds
    depends on that. Not ``corrected``: the fit alone, without the second order in the noise; from the true values its
    σ is the Cramér-Rao bound.
    """
    rows, columns = samples.shape[2:]
    good = (np.isfinite(samples) & (samples > 0) & (samples < SETTINGS.saturated_counts)).all(axis=0)
    if model == "map":
        good = np.broadcast_to(good.all(axis=0), good.shape)
    exposed = np.broadcast_to(np.asarray(exposure, dtype=np.float64), (columns,))
    gain = exposed / np.broadcast_to(np.asarray(variance_factor, dtype=np.float64), (columns,))
    safe = np.where(good, samples, 1.0) / exposed
    # (pixels, bins fitted together, 4): a pixel is one problem in `map`, a bin of a pixel otherwise.
    together = BINS if model == "map" else 1
    lead = (-1, together, GROUPS)
    axes = (2, 3, 1, 0) if model == "map" else (1, 2, 3, 0)
    y = safe.transpose(axes).reshape(lead)
    shape = (rows, columns, BINS) if model == "map" else (BINS, rows, columns)

    def spread(part: npt.ArrayLike) -> F64:
        array = np.asarray(part, dtype=np.float64)
        array = array.swapaxes(0, 1)[:, None] if model == "map" else array[:, :, None]
        tail = array.shape[3:]
        return np.broadcast_to(array, shape + tail).reshape((-1, together, *tail))

    gains = np.broadcast_to(gain if model != "map" else gain[:, None], shape).reshape(-1, together)[:, 0]
    area, centre, width, floor = (spread(part) for part in widen(curves))
    problem = Problem(y, gains, (area, centre, width, floor), x_um, model, prior)
    begin = None if start is None else np.where(good, start, 0.5).transpose(axes).reshape(lead)
    p, converged = solve(problem, begin)
    p, sigma, flags = _describe(problem, p, converged, corrected)
    p = problem.physical(p)

    back = (3, 2, 0, 1) if model == "map" else (3, 0, 1, 2)
    images = p.reshape((*shape, 4)).transpose(back)
    sigma = sigma.reshape((*shape, 4)).transpose(back)
    flags = flags.reshape(shape).transpose((2, 0, 1) if model == "map" else (0, 1, 2))
    bad_flag = np.uint16(Flag.BAD_INPUT)
    return np.where(good, images, np.nan), np.where(good, sigma, np.nan), np.where(good, flags, bad_flag)
