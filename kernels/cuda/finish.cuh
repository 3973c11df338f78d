// The last step of a fit, the 1-σ of its result, and the flags.
#pragma once
#include "refine.cuh"

namespace DARKLANE_NAMESPACE {

// Channels t, Δ, τ², o; flags are whole numbers.
template <class F, int NB> struct Outcome {
    F image[4][NB], sigma[4][NB], flags[NB];
    Point<F, NB> fitted;  // before a bias was taken off, and whether refine() is worth its time there; with o free
    F weak;
};

// Variance of o that the four samples of one bin give alone, without the prior.
template <class F> DARKLANE_FN F variance_of_offset_alone(const Normal<F>& n) {
    const F tiny(1e-30f);
    const F i1 = F(1.0f) / (n.ss + tiny);
    const F i2 = F(1.0f) / maximum(n.vv - n.sv * n.sv * i1, n.vv * F(1e-7f) + tiny);
    const F tv = n.tv - n.sv * i1 * n.ts, ov = n.vo - n.sv * i1 * n.so;
    const F tt = n.tt - n.ts * n.ts * i1 - tv * tv * i2;
    const F to = n.to - n.ts * n.so * i1 - tv * ov * i2;
    const F oo = n.oo - n.so * n.so * i1 - ov * ov * i2;
    return F(1.0f) / maximum(oo - to * to / maximum(tt, n.tt * F(1e-7f) + tiny), n.oo * F(1e-7f) + tiny);
}

// One undamped step from `p` where it is a short one, then σ and flags. `converged` is 1 or 0.
template <bool PAPER, class F, int NB>
DARKLANE_FN void finish(const Data<F, NB>& data, const Curve<F> (&curve)[NB], const Prior& prior, const Settings& s,
                        Point<F, NB> p, F converged, Outcome<F, NB>& out) {
    Normal<F> n[NB];
    Derivatives<F> known = {};
    Tie<F, NB> tied;
    tie(p.t, prior, s, tied);
    const F none[GROUPS] = {F(0.0f), F(0.0f), F(0.0f), F(0.0f)};
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        const F o = tied.f[b] + p.z[b] * F(sd_of<NB>(prior, b));
        if (NB == 2) {
            assemble<PAPER>(curve[b], data.y[b], data.gain, p.t[b], p.s[b], p.v[b], o, s, none, n[b]);
        } else {  // most fits will need the second order
            shift_derivatives<PAPER>(curve[b], p.s[b], p.v[b], s.pitch, known.sum);
            F by_v[GROUPS];
            DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) by_v[g] = known.sum[2][g] * F(0.5f);
            assemble_from(curve[b], data.y[b], data.gain, p.t[b], o, s, none, known.sum[0], known.sum[1], by_v, n[b]);
        }
    }
    Factored<F, NB> f;
    factor(n, tied, prior, F(0.0f), f);
    aim(n, tied, prior, p.z, f);
    Point<F, NB> last = p;
    Step3<F> step[NB];
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        step[b] = private_step(f, b);
        last.t[b] = clamp(p.t[b] + f.step_t[b], F(s.t_min), F(s.t_max));
        last.s[b] = p.s[b] + step[b].s;
        last.v[b] = p.v[b] + step[b].v;
        last.z[b] = p.z[b] + step[b].z;
    }
    project(last, tied, curve, prior, s);
    const auto near = distance(last, p, prior, s) < F(4.0f * tolerance<NB>(s));
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        last.t[b] = select(near, last.t[b], p.t[b]);
        last.s[b] = select(near, last.s[b], p.s[b]);
        last.v[b] = select(near, last.v[b], p.v[b]);
        last.z[b] = select(near, last.z[b], p.z[b]);
    }
    tie(last.t, prior, s, tied);
    const F zero(0.0f);
    Covariance<F> c[NB];
    F usable[NB];
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        const float sd = sd_of<NB>(prior, b);
        covariance(f, tied, sd, b, c[b]);
        const F variance[4] = {c[b].tt, c[b].ss, c[b].vv, c[b].oo};
        DARKLANE_UNROLL for (int k = 0; k < 4; ++k) {
            out.sigma[k][b] = F(1.0f) / inverse_root(clamp(variance[k], F(1e-30f), F(1e30f)));
        }
        // What the last step leaves of Σ W r².
        const F gain = n[b].gt * f.step_t[b] + n[b].gs * step[b].s + n[b].gv * step[b].v + n[b].go * step[b].z;
        const F chi2 = NB == 2 ? n[b].chi2 + last.z[b] * last.z[b] : n[b].chi2 - select(near, gain, zero);
        const F limit = F(NB == 2 ? s.chi2_map : s.chi2_exact);
        F total(0.0f);
        DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) total = total + data.y[b][g];
        const F o = clamp(tied.f[b] + last.z[b] * F(sd), F(s.offset_min), F(s.offset_max));
        F flags = (F(1.0f) - converged) * F(NOT_CONVERGED);
        flags = flags + select(chi2 <= limit, zero, F(NO_EXACT_ROOT));
        // Close to a bound counts: a fit that runs into one may stop a little before it.
        const float close = 10.0f * s.tolerance;
        const float close_v = close * s.step_dark_field, close_o = close * s.step_offset;
        const float far_s = s.refraction_max - close * s.step_refraction;
        const auto inside = (last.t[b] > F(s.t_min)) & (last.t[b] < F(s.t_max - close * s.step_t)) &
                            (magnitude(last.s[b]) < F(far_s)) & (last.v[b] > curve[b].dark_field_min + F(close_v)) &
                            (last.v[b] < F(s.dark_field_max - close_v)) & (o > F(s.offset_min + close_o)) &
                            (o < F(s.offset_max - close_o));
        flags = flags + select(inside, zero, F(BOUND_HIT));
        F blurred = last.v[b];
        DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) blurred = blurred + curve[b].variance[g] * F(0.25f);
        const float widest = s.singular_width * s.pitch;
        const float spread = NB == 2 ? s.singular_spread : s.singular_spread_free;
        const auto regular = (out.sigma[2][b] < blurred * F(spread)) & (blurred < F(widest * widest)) &
                             (f.weakest > F(s.singular_pivot));
        flags = flags + select(regular, zero, F(SINGULAR));
        flags = flags + select(total * data.gain < F(s.low_counts), F(LOW_COUNTS), zero);
        if (NB == 2) {
            const auto known = variance_of_offset_alone(n[b]) < F(s.prior_dominated_sd * s.prior_dominated_sd);
            flags = flags + select(known, zero, F(PRIOR_DOMINATED));
        }
        out.flags[b] = flags;
        usable[b] = select(inside & regular & (converged > zero), F(1.0f), zero);
    }
    if constexpr (NB == 1) {
        out.fitted = last;
        out.weak = weak(data, last, c[0], out.flags[0], s);
    }
    F skew[NB], share[NB];
    second_order<PAPER>(curve, data.gain, prior, s, n, f, tied, c, usable, known, last, skew, share);
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        out.image[0][b] = last.t[b];
        out.image[1][b] = last.s[b];
        out.image[2][b] = last.v[b];
        out.image[3][b] = clamp(tied.f[b] + last.z[b] * F(sd_of<NB>(prior, b)), F(s.offset_min), F(s.offset_max));
        const auto skewed = magnitude(skew[b]) > F(NB == 2 ? s.skew_growth : s.skew_growth_free);
        out.flags[b] = out.flags[b] + select(skewed | (share[b] > zero), F(SKEWED), zero);
        if (NB == 2) {  // the longer side of a skewed interval of 5 σ as far as 5 σ are to hold, of one σ beyond
            const F grown = maximum(skew[b], minimum(skew[b], F(s.skew_growth)) * F(s.skew_reach));
            const F per = maximum(grown, zero) * inverse_root(clamp(c[b].vv, F(1e-30f), F(1e30f)));
            const F with_v[4] = {c[b].tv, c[b].sv, c[b].vv, c[b].vo};
            DARKLANE_UNROLL for (int k = 0; k < 4; ++k) {
                out.sigma[k][b] = F(s.map_coverage) * (out.sigma[k][b] + per * magnitude(with_v[k]));
            }
        }
    }
}

}  // namespace DARKLANE_NAMESPACE
