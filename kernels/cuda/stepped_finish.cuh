// The last step of a stepped retrieval, the 1-σ of its result, and the flags: finish.cuh for any number of samples.
#pragma once
#include "stepped.cuh"

namespace DARKLANE_NAMESPACE {

// χ² of one bin above this: no t, Δ, τ², o explains the samples.
template <int NB> DARKLANE_FN float chi2_limit(int count, const Settings& s) {
    if (NB == 1 && count == 4) return s.chi2_exact;
    const int spare = count > 4 ? count - 4 : 0;
    return s.chi2_map + 2.0f * static_cast<float>(spare);
}

template <class F, int NB>
DARKLANE_FN F stepped_flags(const SteppedData<F, NB>& data, const SteppedCurves<F>& curve, const Steps& steps,
                            const Settings& s, int b, const Outcome<F, NB>& out, F chi2, F weakest) {
    const F zero(0.0f), t = out.image[0][b], shift = out.image[1][b], v = out.image[2][b], o = out.image[3][b];
    F flags = select(chi2 <= F(chi2_limit<NB>(steps.count, s)), zero, F(NO_EXACT_ROOT));
    // Close to a bound counts: a fit that runs into one may stop a little before it.
    const float close = 10.0f * s.tolerance;
    const float close_v = close * s.step_dark_field, close_o = close * s.step_offset;
    const auto inside = (t > F(s.t_min)) & (t < F(s.t_max - close * s.step_t)) &
                        (magnitude(shift) < F(s.refraction_max - close * s.step_refraction)) &
                        (v > curve.dark_field_min + F(close_v)) & (v < F(s.dark_field_max - close_v)) &
                        (o > F(s.offset_min + close_o)) & (o < F(s.offset_max - close_o));
    flags = flags + select(inside, zero, F(BOUND_HIT));
    const F blurred = v + curve.mean_variance;
    const float widest = s.singular_width * steps.pitch;
    const auto regular = (out.sigma[2][b] < blurred * F(s.singular_spread)) & (blurred < F(widest * widest)) &
                         (weakest > F(s.singular_pivot));
    flags = flags + select(regular, zero, F(SINGULAR));
    F counts(0.0f);
    for (int k = 0; k < steps.count; ++k) counts = counts + data.y[b][k] * data.gain[k];
    return flags + select(counts < F(s.low_counts), F(LOW_COUNTS), zero);
}

// One undamped step from `p` where it is a short one, then σ and flags.
template <class F, int NB>
DARKLANE_FN void finish(const SteppedData<F, NB>& data, const SteppedCurves<F> (&curve)[NB], const Curve<F> (&bounds)[NB],
                        const Steps& steps, const Prior& prior, const Settings& s, const Point<F, NB>& p, F converged,
                        Outcome<F, NB>& out) {
    Normal<F> n[NB];
    F weight[MAX_POSITIONS], nothing[MAX_POSITIONS];
    for (int k = 0; k < steps.count; ++k) nothing[k] = F(0.0f);
    Tie<F, NB> tied;
    tie(p.t, prior, s, tied);
    for (int b = 0; b < NB; ++b) {
        const F o = tied.f[b] + p.z[b] * F(sd_of<NB>(prior, b));
        assemble(curve[b], steps, data.y[b], data.gain, p.t[b], p.s[b], p.v[b], o, s.floor_counts, nothing, weight, n[b]);
    }
    Factored<F, NB> f;
    factor(n, tied, prior, F(0.0f), f);
    aim(n, tied, prior, p.z, f);
    Point<F, NB> last = p;
    Step3<F> step[NB];
    for (int b = 0; b < NB; ++b) {
        step[b] = private_step(f, b);
        last.t[b] = clamp(p.t[b] + f.step_t[b], F(s.t_min), F(s.t_max));
        last.s[b] = p.s[b] + step[b].s;
        last.v[b] = p.v[b] + step[b].v;
        last.z[b] = p.z[b] + step[b].z;
    }
    project(last, tied, bounds, prior, s);
    const auto near = distance(last, p, prior, s) < F(4.0f * s.tolerance);
    for (int b = 0; b < NB; ++b) {
        last.t[b] = select(near, last.t[b], p.t[b]);
        last.s[b] = select(near, last.s[b], p.s[b]);
        last.v[b] = select(near, last.v[b], p.v[b]);
        last.z[b] = select(near, last.z[b], p.z[b]);
    }
    tie(last.t, prior, s, tied);
    for (int b = 0; b < NB; ++b) {
        const float sd = sd_of<NB>(prior, b);
        out.image[0][b] = last.t[b];
        out.image[1][b] = last.s[b];
        out.image[2][b] = last.v[b];
        out.image[3][b] = clamp(tied.f[b] + last.z[b] * F(sd), F(s.offset_min), F(s.offset_max));
        Covariance<F> c;
        covariance(f, tied, sd, b, c);
        const F variance[4] = {c.tt, c.ss, c.vv, c.oo};
        for (int k = 0; k < 4; ++k) {
            out.sigma[k][b] = F(1.0f) / inverse_root(clamp(variance[k], F(1e-30f), F(1e30f)));
        }
        // What the last step leaves of Σ W r².
        const F gain = n[b].gt * f.step_t[b] + n[b].gs * step[b].s + n[b].gv * step[b].v + n[b].go * step[b].z;
        const F chi2 = NB == 2 ? n[b].chi2 + last.z[b] * last.z[b] : n[b].chi2 - select(near, gain, F(0.0f));
        out.flags[b] = stepped_flags(data, curve[b], steps, s, b, out, chi2, f.weakest) +
                       (F(1.0f) - converged) * F(NOT_CONVERGED);
        if (NB == 2) {
            const auto known = variance_of_offset_alone(n[b]) < F(s.prior_dominated_sd * s.prior_dominated_sd);
            out.flags[b] = out.flags[b] + select(known, F(0.0f), F(PRIOR_DOMINATED));
        }
    }
}

// All of it. `good` is 1 or 0.
template <class F, int NB, class Read, class None>
DARKLANE_FN void retrieve_stepped(Read read, const SteppedInput& in, const Steps& steps, const Prior& prior,
                                  const Settings& s, None none, Outcome<F, NB>& out, F& good) {
    SteppedCurves<F> curve[NB];
    SteppedData<F, NB> data;
    read_problem(read, in, steps, s, curve, data, good);
    Curve<F> bounds[NB] = {};
    for (int b = 0; b < NB; ++b) bounds[b].dark_field_min = curve[b].dark_field_min;
    Point<F, NB> p;
    F converged;
    solve(data, curve, bounds, steps, prior, s, none, p, converged);
    finish(data, curve, bounds, steps, prior, s, p, converged, out);
}

}  // namespace DARKLANE_NAMESPACE
