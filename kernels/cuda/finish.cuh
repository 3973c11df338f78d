// The last step of a fit, the 1-σ of its result, and the flags.
#pragma once
#include "retrieve.cuh"

namespace DARKLANE_NAMESPACE {

// Channels t, Δ, τ², o; flags are whole numbers.
template <class F, int NB> struct Outcome {
    F image[4][NB], sigma[4][NB], flags[NB];
};

// Σ_km a_k C_km b_m for the covariance C of the t.
template <class F, int NB> DARKLANE_FN F spread(const F (&a)[NB], const F (&c)[NB][NB]) {
    F sum(0.0f);
    DARKLANE_UNROLL for (int k = 0; k < NB; ++k) {
        DARKLANE_UNROLL for (int m = 0; m < NB; ++m) sum = sum + a[k] * c[k][m] * a[m];
    }
    return sum;
}

// Variances of (t, Δ, τ², o) of bin b: the inverse of JᵀWJ, prior included.
template <class F, int NB>
DARKLANE_FN void variances(const Factored<F, NB>& f, const Tie<F, NB>& tie, float sd, int b, F (&out)[4]) {
    const Eliminated<F, NB>& e = f.own[b];
    F by_s[NB], by_v[NB], by_o[NB];  // how s, v and o follow the t of each bin
    DARKLANE_UNROLL for (int k = 0; k < NB; ++k) {
        const Step3<F> follow = backward(e, e.column[k]);
        by_s[k] = follow.s;
        by_v[k] = follow.v;
        by_o[k] = tie.slope[b][k] - follow.z * F(sd);
    }
    const F m = e.l21 * e.l32 - e.l31;
    out[0] = f.inverse[b][b];
    out[1] = e.i1 + e.l21 * e.l21 * e.i2 + m * m * e.i3 + spread(by_s, f.inverse);
    out[2] = e.i2 + e.l32 * e.l32 * e.i3 + spread(by_v, f.inverse);
    out[3] = e.i3 * F(sd * sd) + spread(by_o, f.inverse);
}

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
    Tie<F, NB> tied;
    tie(p.t, prior, s, tied);
    const F none[GROUPS] = {F(0.0f), F(0.0f), F(0.0f), F(0.0f)};
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        const F o = tied.f[b] + p.z[b] * F(sd_of<NB>(prior, b));
        assemble<PAPER>(curve[b], data.y[b], data.gain, p.t[b], p.s[b], p.v[b], o, s, none, n[b]);
    }
    Factored<F, NB> f;
    factor(n, tied, prior, p.z, F(0.0f), f);
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
    const auto near = distance(last, p, prior, s) < F(4.0f * s.tolerance);
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        last.t[b] = select(near, last.t[b], p.t[b]);
        last.s[b] = select(near, last.s[b], p.s[b]);
        last.v[b] = select(near, last.v[b], p.v[b]);
        last.z[b] = select(near, last.z[b], p.z[b]);
    }
    tie(last.t, prior, s, tied);
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        const float sd = sd_of<NB>(prior, b);
        const F o = clamp(tied.f[b] + last.z[b] * F(sd), F(s.offset_min), F(s.offset_max));
        out.image[0][b] = last.t[b];
        out.image[1][b] = last.s[b];
        out.image[2][b] = last.v[b];
        out.image[3][b] = o;
        F variance[4];
        variances(f, tied, sd, b, variance);
        DARKLANE_UNROLL for (int c = 0; c < 4; ++c) {
            out.sigma[c][b] = F(1.0f) / inverse_root(clamp(variance[c], F(1e-30f), F(1e30f)));
        }
        // What the last step leaves of Σ W r².
        const F gain = n[b].gt * f.step_t[b] + n[b].gs * step[b].s + n[b].gv * step[b].v + n[b].go * step[b].z;
        const F chi2 = NB == 2 ? n[b].chi2 + last.z[b] * last.z[b] : n[b].chi2 - select(near, gain, F(0.0f));
        const F limit = F(NB == 2 ? s.chi2_map : s.chi2_exact);
        F total(0.0f);
        DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) total = total + data.y[b][g];
        const F zero(0.0f);
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
    }
}

}  // namespace DARKLANE_NAMESPACE
