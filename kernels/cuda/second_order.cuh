// What the curvature of the model does to a fit, to the second order in the noise: the bias of the estimate, which is
// taken off, and how much σ itself changes within one σ.
//
// Maximum likelihood is biased by −½ C Σ W J tr(C H) where C is the covariance, J the slopes and H the second
// derivatives of a sample (Box 1971; Cox and Snell 1968): the step of a fit to the residuals −½ tr(C H). So the
// normal equations of that fit are set up here and solved like all others. The curvature of f(t) is left out.
#pragma once
#include "retrieve.cuh"

namespace DARKLANE_NAMESPACE {

// Σ_km a_k C_km b_m for the covariance C of the t.
template <class F, int NB> DARKLANE_FN F spread(const F (&a)[NB], const F (&c)[NB][NB], const F (&b)[NB]) {
    F sum(0.0f);
    DARKLANE_UNROLL for (int k = 0; k < NB; ++k) {
        DARKLANE_UNROLL for (int m = 0; m < NB; ++m) sum = sum + a[k] * c[k][m] * b[m];
    }
    return sum;
}

// Covariances of t, s = Δ, v = τ² and o of one bin: the inverse of JᵀWJ, prior included.
template <class F> struct Covariance {
    F tt, ts, tv, to, ss, sv, vv, vo, oo;
};

template <class F, int NB>
DARKLANE_FN void covariance(const Factored<F, NB>& f, const Tie<F, NB>& tie, float sd, int b, Covariance<F>& out) {
    const Eliminated<F, NB>& e = f.own[b];
    F by_s[NB], by_v[NB], by_o[NB];  // how −s, −v and o follow the t of each bin
    DARKLANE_UNROLL for (int k = 0; k < NB; ++k) {
        const Step3<F> follow = backward(e, e.column[k]);
        by_s[k] = follow.s;
        by_v[k] = follow.v;
        by_o[k] = tie.slope[b][k] - follow.z * F(sd);
    }
    const F zero(0.0f), m = e.l21 * e.l32 - e.l31;
    F ts(0.0f), tv(0.0f), to(0.0f);
    DARKLANE_UNROLL for (int k = 0; k < NB; ++k) {
        ts = ts + f.inverse[b][k] * by_s[k];
        tv = tv + f.inverse[b][k] * by_v[k];
        to = to + f.inverse[b][k] * by_o[k];
    }
    out.tt = f.inverse[b][b];
    out.ss = e.i1 + e.l21 * e.l21 * e.i2 + m * m * e.i3 + spread(by_s, f.inverse, by_s);
    out.vv = e.i2 + e.l32 * e.l32 * e.i3 + spread(by_v, f.inverse, by_v);
    out.oo = e.i3 * F(sd * sd) + spread(by_o, f.inverse, by_o);
    out.ts = zero - ts;
    out.tv = zero - tv;
    out.to = to;
    out.sv = spread(by_s, f.inverse, by_v) - e.l21 * e.i2 - m * e.l32 * e.i3;
    out.vo = zero - spread(by_v, f.inverse, by_o) - e.l32 * e.i3 * F(sd);
}

// Σ E and its derivatives by the shift up to the fourth, of every group. The derivative by τ² is half of the second by
// the shift: a Gaussian spreads like heat.
template <bool PAPER, class F>
DARKLANE_FN void shift_derivatives(const Curve<F>& curve, F shift, F dark_field, float pitch, F (&sum)[5][GROUPS]) {
    DARKLANE_UNROLL for (int k = 0; k < 5; ++k) {
        DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) sum[k][g] = F(0.0f);
    }
    DARKLANE_UNROLL for (int i = 0; i < GROUPS; ++i) {
        const F root = inverse_root(curve.variance[i] + dark_field);
        const F inverse = root * root;
        const F amplitude = curve.amplitude[i] * root;
        const F u = curve.offset[i] - shift;
        DARKLANE_UNROLL for (int k = PAPER ? 0 : -1; k <= (PAPER ? GROUPS - 1 : 1); ++k) {
            const int g = PAPER ? k : (i + k) & (GROUPS - 1);
            const F d = u + F(pitch * static_cast<float>(PAPER ? k - i : k));
            const F slope = d * inverse;
            const F z = d * slope;
            const F e = amplitude * exp2_of(z * F(-0.72134752f));  // exp(−z/2)
            const F first = e * slope, narrow = e * inverse;
            sum[0][g] = sum[0][g] + e;
            sum[1][g] = sum[1][g] + first;
            sum[2][g] = sum[2][g] + narrow * (z - F(1.0f));
            sum[3][g] = sum[3][g] + first * inverse * (z - F(3.0f));
            sum[4][g] = sum[4][g] + narrow * inverse * (z * (z - F(6.0f)) + F(3.0f));
        }
    }
}

// Where the other unknowns of a bin go when one of them, of variance `own`, is one σ higher: `o` in counts.
template <class F> struct Direction {
    F t, s, v, o;
    DARKLANE_FN Direction(F own, F by_t, F by_s, F by_v, F by_o, F floor) {
        const F unit = inverse_root(own);
        t = by_t * unit;
        s = by_s * unit;
        v = by_v * unit;
        o = by_o * unit * floor;
    }
};

// Relative growth of the σ that belongs to a direction, when one goes one σ along it; to first order.
template <class F>
DARKLANE_FN F growth(const F (&sum)[5][GROUPS], const F (&weight)[GROUPS], F gain, F t, const Direction<F>& d) {
    const F half(0.5f), quarter(0.25f), per_gain = half / gain;
    F found(0.0f);
    DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) {
        const F by_v = sum[2][g] * half;
        const F first = d.s * sum[1][g] + d.v * by_v;
        const F second = d.s * (d.s * sum[2][g] + d.v * sum[3][g]) + d.v * d.v * quarter * sum[4][g];
        const F slope = sum[0][g] * d.t + t * first + d.o;
        const F w = weight[g];
        found = found + w * slope * (per_gain * w * slope * slope - (d.t * first + d.t * first + t * second));
    }
    return found;
}

// Replaces the gradient of one bin's normal equations at (t, s, v) by that of the residuals ½ tr(C H): the step of
// that takes the bias off.
template <class F>
DARKLANE_FN void bend(const F (&sum)[5][GROUPS], const Curve<F>& curve, F t, const Covariance<F>& c, Normal<F>& n) {
    const F half(0.5f), quarter(0.25f);
    n.gt = n.gs = n.gv = n.go = F(0.0f);
    DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) {
        const F by_v = sum[2][g] * half;
        const F second = half * (c.ss * sum[2][g] + c.vv * quarter * sum[4][g] + c.sv * sum[3][g]);
        const F wr = n.weight[g] * (c.ts * sum[1][g] + c.tv * by_v + t * second);
        n.gt = n.gt + wr * sum[0][g];
        n.gs = n.gs + wr * sum[1][g] * t;
        n.gv = n.gv + wr * by_v * t;
        n.go = n.go + wr * curve.floor;
    }
}

// Σ E and its derivatives by the shift, of one bin.
template <class F> struct Derivatives {
    F sum[5][GROUPS];
};

// Takes the bias off `last` and its `tied`, for bins that are `usable`: all that is more than a small part of σ, which is
// the `share` of it. And gives the growth of σ towards a higher τ², or towards a higher t with o free. With o free the
// derivatives are `known`, otherwise they are made here. Where σ is small nothing is done, and it costs nothing.
template <bool PAPER, class F, int NB>
DARKLANE_FN void second_order(const Curve<F> (&curve)[NB], F gain, const Prior& prior, const Settings& s,
                              const Normal<F> (&normal)[NB], Factored<F, NB>& f, Tie<F, NB>& tied,
                              const Covariance<F> (&c)[NB], const F (&usable)[NB], const Derivatives<F>& known,
                              Point<F, NB>& last, F (&skew)[NB], F (&share)[NB]) {
    Normal<F> n[NB];
    F live[NB], zero[NB];
    const F none(0.0f), all(1.0f);
    F most(0.0f);
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        n[b] = normal[b];
        zero[b] = skew[b] = share[b] = none;
        // What errs most: τ² against the blurred variance; with o free it is t.
        F size = last.t[b], variance = c[b].tt;
        if (NB == 2) {
            size = last.v[b];
            DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) size = size + curve[b].variance[g] * F(0.25f);
            variance = c[b].vv;
        }
        const F relative = variance * inverse_root(variance) / (size * F(s.second_order_spread));
        live[b] = select((usable[b] > none) & (relative > all), all, none);
        most = maximum(most, live[b]);
    }
    if (!any(most > none)) return;
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        const auto mask = live[b] > none;
        Derivatives<F> at = known;
        if (NB == 2) shift_derivatives<PAPER>(curve[b], last.s[b], last.v[b], s.pitch, at.sum);
        const Direction<F> along = NB == 2 ? Direction<F>(c[b].vv, c[b].tv, c[b].sv, c[b].vv, c[b].vo, curve[b].floor)
                                           : Direction<F>(c[b].tt, c[b].tt, c[b].ts, c[b].tv, c[b].to, curve[b].floor);
        skew[b] = select(mask, growth(at.sum, n[b].weight, gain, last.t[b], along), none);
        bend(at.sum, curve[b], last.t[b], c[b], n[b]);
        n[b].gt = select(mask, n[b].gt, none);
        n[b].gs = select(mask, n[b].gs, none);
        n[b].gv = select(mask, n[b].gv, none);
        n[b].go = select(mask, n[b].go, none);
    }
    aim(n, tied, prior, zero, f);
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        const Step3<F> step = private_step(f, b);
        F part = maximum(f.step_t[b] * f.step_t[b] / c[b].tt, step.v * step.v / c[b].vv);  // squared, of σ
        part = maximum(step.s * step.s / c[b].ss, part);
        const F per_part = inverse_root(maximum(part, F(1e-30f)));
        const F some = minimum(maximum(all - F(s.bias_least) * per_part, none), F(s.bias_most) * per_part);
        share[b] = select(live[b] > none, some, none);
        last.t[b] = clamp(last.t[b] + share[b] * f.step_t[b], F(s.t_min), F(s.t_max));
        last.s[b] = last.s[b] + share[b] * step.s;
        last.v[b] = last.v[b] + share[b] * step.v;
        last.z[b] = last.z[b] + share[b] * step.z;
    }
    project(last, tied, curve, prior, s);
    tie(last.t, prior, s, tied);
}

}  // namespace DARKLANE_NAMESPACE
