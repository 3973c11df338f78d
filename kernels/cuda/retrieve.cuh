// Retrieval of (t, Δ, τ², o): start, Levenberg-Marquardt iteration, and the last step with σ and flags.
//
// Poisson maximum likelihood as reweighted least squares: the weights are those of the model at the current point, and
// a step is judged under the weights that it was computed with.
#pragma once
#include "solve.cuh"

namespace DARKLANE_NAMESPACE {

template <class F, int NB> struct State {
    Point<F, NB> point, trial;
    Tie<F, NB> tie;
    Normal<F> normal[NB];
    F cost, lambda, iterations;
};

// Bounds of t, Δ, τ² and o. Bounds of o act through z.
template <class F, int NB>
DARKLANE_FN void project(Point<F, NB>& p, const Tie<F, NB>& tie, const Curve<F> (&curve)[NB], const Prior& prior,
                         const Settings& s) {
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        p.s[b] = clamp(p.s[b], F(-s.refraction_max), F(s.refraction_max));
        p.v[b] = clamp(p.v[b], curve[b].dark_field_min, F(s.dark_field_max));
        const float sd = sd_of<NB>(prior, b);
        const F low = (F(s.offset_min) - tie.f[b]) * F(1.0f / sd);
        const F high = (F(s.offset_max) - tie.f[b]) * F(1.0f / sd);
        p.z[b] = clamp(p.z[b], low, high);
    }
}

// First guess: o from the sum of the samples, then a weighted parabola through the logarithms of the four.
template <class F, int NB>
DARKLANE_FN void start(const Data<F, NB>& data, const Curve<F> (&curve)[NB], const Prior& prior, const Settings& s,
                       Point<F, NB>& p) {
    F rough[NB];
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        F total(0.0f), air(0.0f);
        DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) {
            total = total + data.y[b][g];
            air = air + curve[b].air[g];
        }
        rough[b] = clamp(total / air, F(1e-3f), F(s.t_max));
    }
    Tie<F, NB> tied;
    tie(rough, prior, s, tied);
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        const Curve<F>& c = curve[b];
        const F o = NB == 2 ? tied.f[b] : rough[b];
        const float unit = 1.0f / 16.0f;  // of u, keeps the moments near 1
        F m0(0.0f), m1(0.0f), m2(0.0f), m3(0.0f), m4(0.0f), r0(0.0f), r1(0.0f), r2(0.0f), mean(0.0f);
        DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) {
            const F y = data.y[b][g];
            const F net = maximum(y - c.floor * o, y * F(0.02f));
            const F w = net * net / y;
            const F l = log_of(net / c.amplitude[g]);
            const F u = c.offset[g] * F(unit);
            const F wu = w * u, wuu = wu * u;
            m0 = m0 + w;
            m1 = m1 + wu;
            m2 = m2 + wuu;
            m3 = m3 + wuu * u;
            m4 = m4 + wuu * u * u;
            r0 = r0 + w * l;
            r1 = r1 + wu * l;
            r2 = r2 + wuu * l;
            mean = mean + c.variance[g] * F(0.25f);
        }
        // Elimination of the constant, then of the slope.
        const F i0 = F(1.0f) / m0;
        const F q1 = m1 * i0, q2 = m2 * i0;
        const F a11 = maximum(m2 - q1 * m1, F(1e-6f) * m2), a12 = m3 - q1 * m2;
        const F b1 = r1 - q1 * r0, b2 = r2 - q2 * r0;
        const F q = a12 / a11;
        const F a22 = maximum(m4 - q2 * m2 - q * a12, F(1e-6f) * m4);
        const F curvature = (b2 - q * b1) / a22;
        const F slope = (b1 - a12 * curvature) / a11;
        const F constant = (r0 - m1 * slope - m2 * curvature) * i0;
        // curvature = −unit⁻²/2v, slope = unit⁻¹ Δ/v, constant = ln t − ln v/2 − Δ²/2v
        const float per_unit2 = 1.0f / (unit * unit);
        // A blurred curve reaches its neighbours, which flatten the parabola: it then says no more than "wide".
        const F widest = F(s.dark_field_max * 0.15f) + mean;
        const F raw = F(-0.5f * per_unit2) / minimum(curvature, F(-1e-3f));
        const F v = clamp(raw, mean * F(0.6f), widest);
        const F bound = F(0.3f * s.refraction_max);
        const F shift = select(raw < widest, clamp(slope * v * F(unit), F(0.0f) - bound, bound), F(0.0f));
        const F ln_t = constant + log_of(v) * F(0.5f) + shift * shift / (v + v);
        p.t[b] = clamp(exp_of(clamp(ln_t, F(-9.0f), F(1.0f))), rough[b] * F(0.3f), rough[b] * F(2.0f) + F(0.01f));
        p.s[b] = shift;
        p.v[b] = v - mean;
        p.z[b] = NB == 2 ? F(0.0f) : o;
    }
    Tie<F, NB> at;
    tie(p.t, prior, s, at);
    project(p, at, curve, prior, s);
}

// Makes the first iteration accept `from` whatever it costs.
template <class F, int NB>
DARKLANE_FN void begin(const Point<F, NB>& from, const Settings& s, State<F, NB>& state) {
    state.trial = from;
    state.cost = F(3e38f);
    state.lambda = F(s.lambda_start / s.lambda_accept);
    state.iterations = F(0.0f);
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) state.normal[b].weight[g] = F(0.0f);
    }
}

template <class Mask, class F> DARKLANE_FN void keep(Mask take, const Normal<F>& from, Normal<F>& to) {
    to.tt = select(take, from.tt, to.tt);
    to.ts = select(take, from.ts, to.ts);
    to.tv = select(take, from.tv, to.tv);
    to.to = select(take, from.to, to.to);
    to.ss = select(take, from.ss, to.ss);
    to.sv = select(take, from.sv, to.sv);
    to.so = select(take, from.so, to.so);
    to.vv = select(take, from.vv, to.vv);
    to.vo = select(take, from.vo, to.vo);
    to.oo = select(take, from.oo, to.oo);
    to.gt = select(take, from.gt, to.gt);
    to.gs = select(take, from.gs, to.gs);
    to.gv = select(take, from.gv, to.gv);
    to.go = select(take, from.go, to.go);
    DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) to.weight[g] = select(take, from.weight[g], to.weight[g]);
}

// Largest difference of two points in the scales of the stopping rule.
template <class F, int NB>
DARKLANE_FN F distance(const Point<F, NB>& a, const Point<F, NB>& b, const Prior& prior, const Settings& s) {
    F far(0.0f);
    DARKLANE_UNROLL for (int k = 0; k < NB; ++k) {
        far = maximum(far, magnitude(a.t[k] - b.t[k]) * F(1.0f / s.step_t));
        far = maximum(far, magnitude(a.s[k] - b.s[k]) * F(1.0f / s.step_refraction));
        far = maximum(far, magnitude(a.v[k] - b.v[k]) * F(1.0f / s.step_dark_field));
        far = maximum(far, magnitude(a.z[k] - b.z[k]) * F(sd_of<NB>(prior, k) / s.step_offset));
    }
    return far;
}

// The normal equations of a bin without the unknowns that lie on a bound and would leave it: their step is zero, and the
// others settle where they are best with that. The bound of t needs no such care, s and v have no effect at t = 0.
template <int NB, class F>
DARKLANE_FN Normal<F> held(Normal<F> n, F shift, F dark_field, F o, const Curve<F>& curve, const Settings& s) {
    const F zero(0.0f);
    const auto hold_s = ((shift <= F(-s.refraction_max)) & (n.gs < zero)) |
                        ((shift >= F(s.refraction_max)) & (n.gs > zero));
    const auto hold_v = ((dark_field <= curve.dark_field_min) & (n.gv < zero)) |
                        ((dark_field >= F(s.dark_field_max)) & (n.gv > zero));
    n.ts = select(hold_s, zero, n.ts);
    n.so = select(hold_s, zero, n.so);
    n.gs = select(hold_s, zero, n.gs);
    n.tv = select(hold_v, zero, n.tv);
    n.vo = select(hold_v, zero, n.vo);
    n.gv = select(hold_v, zero, n.gv);
    n.sv = select(hold_s | hold_v, zero, n.sv);
    if (NB == 1) {  // with a prior, o hangs on t
        const auto hold_o = ((o <= F(s.offset_min)) & (n.go < zero)) | ((o >= F(s.offset_max)) & (n.go > zero));
        n.to = select(hold_o, zero, n.to);
        n.so = select(hold_o, zero, n.so);
        n.vo = select(hold_o, zero, n.vo);
        n.go = select(hold_o, zero, n.go);
    }
    return n;
}

// The step at which iterating stops. With a prior no valley is flat: steps shrink so fast that after a longer one the
// last step leaves less than rounding does.
template <int NB> DARKLANE_FN float tolerance(const Settings& s) { return NB == 2 ? 5.0f * s.tolerance : s.tolerance; }

// Judges the trial, takes it or raises λ, and makes the next trial. The mask is set where the fit has settled: the trial
// is then the result, but for finish().
template <bool PAPER, class F, int NB>
DARKLANE_FN auto iterate(const Data<F, NB>& data, const Curve<F> (&curve)[NB], const Prior& prior, const Settings& s,
                         State<F, NB>& state) {
    Normal<F> fresh[NB];
    Tie<F, NB> tied;
    tie(state.trial.t, prior, s, tied);
    F judged(0.0f), cost(0.0f);
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        const F z = state.trial.z[b];
        const F o = tied.f[b] + z * F(sd_of<NB>(prior, b));
        judged = judged + assemble<PAPER>(curve[b], data.y[b], data.gain, state.trial.t[b], state.trial.s[b],
                                          state.trial.v[b], o, s, state.normal[b].weight, fresh[b]);
        cost = cost + fresh[b].chi2;
        if (NB == 2) {
            judged = judged + z * z;
            cost = cost + z * z;
        }
    }
    const auto better = judged <= state.cost;
    state.cost = select(better, cost, state.cost);
    const F lambda = state.lambda * select(better, F(s.lambda_accept), F(s.lambda_reject));
    state.lambda = clamp(lambda, F(s.lambda_min), F(s.lambda_max));
    state.iterations = state.iterations + F(1.0f);
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        keep(better, fresh[b], state.normal[b]);
        state.tie.f[b] = select(better, tied.f[b], state.tie.f[b]);
        DARKLANE_UNROLL for (int k = 0; k < NB; ++k) {
            state.tie.slope[b][k] = select(better, tied.slope[b][k], state.tie.slope[b][k]);
        }
        state.point.t[b] = select(better, state.trial.t[b], state.point.t[b]);
        state.point.s[b] = select(better, state.trial.s[b], state.point.s[b]);
        state.point.v[b] = select(better, state.trial.v[b], state.point.v[b]);
        state.point.z[b] = select(better, state.trial.z[b], state.point.z[b]);
    }
    Factored<F, NB> factored;
    Normal<F> movable[NB];
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        movable[b] = held<NB>(state.normal[b], state.point.s[b], state.point.v[b], state.point.z[b], curve[b], s);
    }
    factor(movable, state.tie, prior, state.lambda, factored);
    aim(movable, state.tie, prior, state.point.z, factored);
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        const Step3<F> step = private_step(factored, b);
        state.trial.t[b] = clamp(state.point.t[b] + factored.step_t[b], F(s.t_min), F(s.t_max));
        state.trial.s[b] = state.point.s[b] + step.s;
        state.trial.v[b] = state.point.v[b] + step.v;
        state.trial.z[b] = state.point.z[b] + step.z;
    }
    project(state.trial, state.tie, curve, prior, s);
    const F far = distance(state.trial, state.point, prior, s);
    const auto settled = (far < F(tolerance<NB>(s))) & (state.lambda < F(1.0f));
    if (NB == 1) {
        // With o free a valley can be so flat that steps stay long though they gain nothing: then the fit is done, too.
        const Step3<F> step = private_step(factored, 0);
        const F gain = movable[0].gt * factored.step_t[0] + movable[0].gs * step.s + movable[0].gv * step.v +
                       movable[0].go * step.z;
        const F least = select(state.cost > F(s.chi2_exact), state.cost * F(s.gain_part), F(s.gain_least));
        return settled | ((gain < least) & (state.lambda < F(1.0f)));
    }
    return settled;
}

}  // namespace DARKLANE_NAMESPACE
