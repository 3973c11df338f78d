// Fitting problem of one pixel: NB bins at once (2 with the prior of `map`, which ties them; 1 otherwise).
//
// Unknowns of a bin: t, shift s = Δ, v = τ² and z. With the prior o = f(t_low, t_high) + sd z, z ~ N(0, 1): whatever
// sd is the problem stays well scaled, and sd → 0 is the fit of three unknowns. Without it o = z.
#pragma once
#include "model.cuh"

namespace DARKLANE_NAMESPACE {

struct Prior {
    float coefficient[2][5];
    float sd[2];
};

template <class F, int NB> struct Point {
    F t[NB], s[NB], v[NB], z[NB];
};

// Samples over exposure, and effective counts per unit of them: var(y) = y / gain.
template <class F, int NB> struct Data {
    F y[NB][GROUPS];
    F gain;
};

// f and df_b/dt_k at a point.
template <class F, int NB> struct Tie {
    F f[NB], slope[NB][NB];
};

// Of one bin, summed over its four samples: JᵀWJ and JᵀWr in (t, s, v, o), the weights W and Σ W r².
template <class F> struct Normal {
    F tt, ts, tv, to, ss, sv, so, vv, vo, oo;
    F gt, gs, gv, go;
    F weight[GROUPS];
    F chi2;
};

template <int NB> DARKLANE_FN float sd_of(const Prior& prior, int b) { return NB == 2 ? prior.sd[b] : 1.0f; }

// The prior mean of o, flat outside the limits of the table; 0 without a prior.
template <class F> DARKLANE_FN void tie(const F (&t)[1], const Prior&, const Settings&, Tie<F, 1>& out) {
    out.f[0] = out.slope[0][0] = F(0.0f);
    (void)t;
}

template <class F> DARKLANE_FN void tie(const F (&t)[2], const Prior& prior, const Settings& s, Tie<F, 2>& out) {
    F l[2], per_t[2];
    DARKLANE_UNROLL for (int b = 0; b < 2; ++b) {
        const F safe = maximum(t[b], F(s.prior_t_min));
        l[b] = F(0.0f) - log_of(safe);
        per_t[b] = select(t[b] > F(s.prior_t_min), F(-1.0f) / safe, F(0.0f));
    }
    DARKLANE_UNROLL for (int b = 0; b < 2; ++b) {
        const float* c = prior.coefficient[b];
        const F first = l[0] * F(c[2]) + l[1] * F(c[3]) + F(c[0]);
        const F second = l[1] * F(c[4]) + F(c[1]);
        const F raw = l[0] * first + l[1] * second;
        const F ln_o = clamp(raw, F(s.prior_ln_min), F(s.prior_ln_max));
        out.f[b] = exp_of(ln_o);
        const F live = select(ln_o == raw, out.f[b], F(0.0f));
        out.slope[b][0] = (first + l[0] * F(c[2])) * (live * per_t[0]);
        out.slope[b][1] = (second + l[0] * F(c[3]) + l[1] * F(c[4])) * (live * per_t[1]);
    }
}

// Normal equations of one bin at (t, o), and Σ W r² of the new residuals under the weights of the old point. `a`, `b`
// and `c` are what gaussians() gives at (s, v).
template <class F>
DARKLANE_FN F assemble_from(const Curve<F>& curve, const F (&y)[GROUPS], F gain, F t, F o, const Settings& set,
                            const F (&old_weight)[GROUPS], const F (&a)[GROUPS], const F (&b)[GROUPS],
                            const F (&c)[GROUPS], Normal<F>& n) {
    const F least = F(set.floor_counts) / gain;
    const F background = curve.floor * o;
    F old_chi2(0.0f), sum_w(0.0f), sum_wr(0.0f);
    n.tt = n.ts = n.tv = n.to = n.ss = n.sv = n.so = n.vv = n.vo = n.gt = n.gs = n.gv = n.chi2 = F(0.0f);
    DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) {
        const F model = a[g] * t + background;
        const F r = y[g] - model;
        const F w = gain / maximum(model, least);
        n.weight[g] = w;
        const F wr = w * r;
        n.chi2 = n.chi2 + wr * r;
        old_chi2 = old_chi2 + (old_weight[g] * r) * r;
        const F wa = w * a[g], wb = w * b[g], wc = w * c[g];
        n.tt = n.tt + wa * a[g];
        n.ts = n.ts + wa * b[g];
        n.tv = n.tv + wa * c[g];
        n.to = n.to + wa;
        n.ss = n.ss + wb * b[g];
        n.sv = n.sv + wb * c[g];
        n.so = n.so + wb;
        n.vv = n.vv + wc * c[g];
        n.vo = n.vo + wc;
        n.gt = n.gt + wa * r;
        n.gs = n.gs + wb * r;
        n.gv = n.gv + wc * r;
        sum_w = sum_w + w;
        sum_wr = sum_wr + wr;
    }
    // The derivatives by s and v carry a factor t, those by o are the floor.
    const F t2 = t * t, k = curve.floor, kt = k * t;
    n.ts = n.ts * t;
    n.tv = n.tv * t;
    n.to = n.to * k;
    n.ss = n.ss * t2;
    n.sv = n.sv * t2;
    n.vv = n.vv * t2;
    n.so = n.so * kt;
    n.vo = n.vo * kt;
    n.oo = sum_w * k * k;
    n.gs = n.gs * t;
    n.gv = n.gv * t;
    n.go = sum_wr * k;
    return old_chi2;
}

// The same at (t, s, v, o).
template <bool PAPER, class F>
DARKLANE_FN F assemble(const Curve<F>& curve, const F (&y)[GROUPS], F gain, F t, F s, F v, F o, const Settings& set,
                       const F (&old_weight)[GROUPS], Normal<F>& n) {
    F a[GROUPS], b[GROUPS], c[GROUPS];
    gaussians<PAPER>(curve, s, v, set.pitch, a, b, c);
    return assemble_from(curve, y, gain, t, o, set, old_weight, a, b, c, n);
}

}  // namespace DARKLANE_NAMESPACE
