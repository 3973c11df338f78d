"""Stepped retrieval in float64: the solver of :mod:`kernels.reference.retrieval` for samples at any positions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kernels.reference.linear import variances, weakest_pivot
from kernels.reference.model import DARK_FIELD, OFFSET, Curves, T, widen
from kernels.reference.retrieval import Problem, solve
from kernels.settings import BINS, SETTINGS
from kernels.types import F64, Flag, IlluminationCurves, Model, OffsetPrior


def evaluate(curves: Curves, positions_um: F64, pitch_um: float, unknowns: F64) -> tuple[F64, F64]:
    """Expected counts (…, N) and derivatives (…, N, 4): sample k on curve k mod G, its own and both neighbours.

    ``curves``: area, centre, width (…, G), floor (…); ``unknowns`` (…, 4) = t, Δ µm, τ² µm², o.
    """
    area, centre, width, floor = curves
    ways = area.shape[-1]
    t, shift, tau2, offset = (unknowns[..., k] for k in range(4))
    counts, jacobian = [], []
    for k, x in enumerate(positions_um):
        total = d_shift = d_tau2 = np.zeros(np.broadcast_shapes(t.shape, floor.shape))
        for curve in (k % ways - 1, k % ways, k % ways + 1):
            i, period = curve % ways, curve // ways
            variance = width[..., i] ** 2 + tau2
            u = x - centre[..., i] - period * ways * pitch_um - shift
            e = area[..., i] / np.sqrt(2 * np.pi * variance) * np.exp(-(u**2) / (2 * variance))
            total = total + e
            d_shift = d_shift + e * u / variance
            d_tau2 = d_tau2 + e * (u**2 / variance - 1) / (2 * variance)
        counts.append(total * t + floor * offset)
        jacobian.append(np.stack(np.broadcast_arrays(total, t * d_shift, t * d_tau2, floor), axis=-1))
    return np.stack(counts, axis=-1), np.stack(jacobian, axis=-2)


class _Stepped(Problem):
    """``n`` pixels of ``b`` bins: data (n, b, N), gain (n, 1, N), curves (n, b, …)."""

    def __init__(
        self,
        y: F64,
        gain: F64,
        curves: Curves,
        positions_um: F64,
        pitch_um: float,
        model: Model,
        prior: OffsetPrior | None,
    ) -> None:
        super().__init__(y, gain, curves, 0.0, model, prior)
        self.positions_um, self.pitch_um = positions_um, pitch_um

    def system(self, p: F64) -> tuple[F64, F64, F64, F64]:
        """As :meth:`Problem.system`."""
        n, bins = p.shape[:2]
        count = len(self.positions_um)
        _, slope, sd = self.tie(p)
        counts, slopes = evaluate(self.curves, self.positions_um, self.pitch_um, self.physical(p))
        weight = (self.gain / np.maximum(counts, SETTINGS.floor_counts / self.gain)).reshape(n, -1)
        parts: F64 = np.zeros((n, bins, count, bins, 4))
        for b in range(bins):
            parts[:, b, :, b, :] = slopes[:, b]
            parts[:, b, :, b, OFFSET] *= sd[b]
            parts[:, b, :, :, T] += slopes[:, b, :, OFFSET, None] * slope[:, b, None, :]
        residual, jacobian = (self.y - counts).reshape(n, -1), parts.reshape(n, bins * count, bins * 4)
        if self.prior is not None:
            rows = np.zeros((n, bins, bins, 4))
            rows[:, range(bins), range(bins), OFFSET] = 1.0
            residual = np.concatenate([residual, -p[..., OFFSET]], axis=1)
            jacobian = np.concatenate([jacobian, rows.reshape(n, bins, bins * 4)], axis=1)
            weight = np.concatenate([weight, np.ones((n, bins))], axis=1)
        return residual, jacobian, weight, slopes

    def start(self) -> F64:
        """t from the sum of the samples, z = 0 or o = t, no refraction and no dark-field."""
        air = np.zeros((*self.y.shape[:2], 4))
        air[..., T] = air[..., OFFSET] = 1.0
        counts, _ = evaluate(self.curves, self.positions_um, self.pitch_um, air)
        p = np.zeros_like(air)
        p[..., T] = np.clip((self.y * self.gain).sum(-1) / (counts * self.gain).sum(-1), 1e-3, SETTINGS.t_max)
        p[..., OFFSET] = p[..., T] if self.prior is None else 0.0
        return self.clip(p)


def _describe(problem: _Stepped, p: F64, converged: npt.NDArray[np.bool_]) -> tuple[F64, npt.NDArray[np.uint16]]:
    n, bins = p.shape[:2]
    count = len(problem.positions_um)
    residual, jacobian, weight, slopes = problem.system(p)
    at = problem.physical(p)
    _, tied, sd = problem.tie(p)
    chain = np.broadcast_to(np.eye(bins * 4), (n, bins * 4, bins * 4)).reshape(n, bins, 4, bins, 4).copy()
    for b in range(bins):
        chain[:, b, OFFSET, b, OFFSET] = sd[b]
        chain[:, b, OFFSET, :, T] = tied[:, b]
    normal = np.einsum("nmi,nm,nmj->nij", jacobian, weight, jacobian)
    variance = variances(normal, chain.reshape(n, bins * 4, bins * 4)).reshape(p.shape)
    sigma = np.sqrt(np.where(variance > 0, variance, np.inf))
    flags = np.where(converged[:, None], 0, int(Flag.NOT_CONVERGED)) * np.ones((1, bins), dtype=int)
    terms = weight * residual**2
    chi2 = terms[:, : bins * count].reshape(n, bins, count).sum(-1)
    limit = SETTINGS.chi2_map + 2 * max(count - 4, 0)
    if problem.prior is None:
        limit = SETTINGS.chi2_exact if count == 4 else limit
    else:
        chi2 = chi2 + terms[:, bins * count :]
        for b in range(bins):
            own = np.einsum("nmi,nm,nmj->nij", slopes[:, b], weight[:, b * count : (b + 1) * count], slopes[:, b])
            alone = variances(own, np.broadcast_to(np.eye(4), (n, 4, 4)))[:, OFFSET]
            flags[:, b] |= np.where(alone < SETTINGS.prior_dominated_sd**2, 0, int(Flag.PRIOR_DOMINATED))
    flags |= np.where(chi2 > limit, int(Flag.NO_EXACT_ROOT), 0)
    s = SETTINGS
    scale = np.array([s.step_t, s.step_refraction_um, s.step_dark_field_um2, s.step_offset])
    close = 10 * s.tolerance * scale
    hit = ((at <= problem.low + close * [0, 1, 1, 1]) | (at >= problem.high - close)).any(-1)
    flags |= np.where(hit, int(Flag.BOUND_HIT), 0)
    blurred = at[..., DARK_FIELD] + (problem.curves[2] ** 2).mean(axis=-1)
    sharp = sigma[..., DARK_FIELD] < s.singular_spread * blurred
    narrow = blurred < (s.singular_width * problem.pitch_um) ** 2
    regular = (weakest_pivot(normal) > s.singular_pivot)[:, None]
    flags |= np.where(sharp & narrow & regular, 0, int(Flag.SINGULAR))
    flags |= np.where((problem.y * problem.gain).sum(-1) < s.low_counts, int(Flag.LOW_COUNTS), 0)
    return sigma, flags.astype(np.uint16)


def retrieve_stepped(
    samples: F64,
    curves: IlluminationCurves,
    positions_um: F64,
    pitch_um: float,
    exposure: F64,
    variance_factor: F64,
    model: Model,
    prior: OffsetPrior | None,
    start: F64 | None = None,
) -> tuple[F64, F64, npt.NDArray[np.uint16]]:
    """Arguments and results of :func:`kernels.retrieve_stepped`; ``start`` (4, 2, rows, columns): where to begin."""
    rows, columns = samples.shape[2:]
    together = BINS if model == "map" else 1
    exposed = np.broadcast_to(exposure, (len(positions_um), columns))
    gain = exposed / np.broadcast_to(variance_factor, (columns,))
    good = (np.isfinite(samples) & (samples > 0) & (samples < SETTINGS.saturated_counts)).all(axis=0)
    if model == "map":
        good = np.broadcast_to(good.all(axis=0), good.shape)

    def by_problem(images: F64) -> F64:
        """(2, rows, columns, …) to (problems, bins together, …)."""
        moved = np.moveaxis(images, 0, 2) if model == "map" else images
        return moved.reshape((-1, together, *images.shape[3:]))

    def by_image(problems: F64) -> F64:
        """The inverse."""
        tail = problems.shape[2:]
        if model != "map":
            return problems.reshape((BINS, rows, columns, *tail))
        return np.moveaxis(problems.reshape((rows, columns, BINS, *tail)), 2, 0)

    parts = []
    for part, own_axes in zip(widen(curves), (1, 1, 1, 0), strict=True):
        per_pixel = part if part.ndim == 3 + own_axes else part[:, :, None]
        parts.append(by_problem(np.broadcast_to(per_pixel, (BINS, rows, columns, *per_pixel.shape[3:]))))
    y = by_problem(np.moveaxis(np.where(good, samples, 1.0) / exposed[:, None, None, :], 0, -1))
    gains = by_problem(np.broadcast_to(gain.T, (BINS, rows, columns, len(positions_um))))[:, :1]
    problem = _Stepped(y, gains, (parts[0], parts[1], parts[2], parts[3]), positions_um, pitch_um, model, prior)
    begin = None if start is None else by_problem(np.moveaxis(np.where(good, start, 0.5), 0, -1))
    p, converged = solve(problem, begin)
    sigma, flags = _describe(problem, p, converged)
    images = np.moveaxis(by_image(problem.physical(p)), -1, 0)
    found = by_image(flags[..., None].astype(np.float64))[..., 0].astype(np.uint16)
    spread = np.moveaxis(by_image(sigma), -1, 0)
    bad = np.uint16(Flag.BAD_INPUT)
    return np.where(good, images, np.nan), np.where(good, spread, np.nan), np.where(good, found, bad)
