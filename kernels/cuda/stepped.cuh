// Retrieval of (t, Δ, τ², o) from stepped samples: the solver of retrieve.cuh for any number of samples.
#pragma once
#include "finish.cuh"
#include "stepped_model.cuh"

namespace DARKLANE_NAMESPACE {

// First guess, as start() in retrieve.cuh: t and o from the sum of the samples, then a weighted parabola through the
// logarithms of the samples against their places on their own curves.
template <class F, int NB>
DARKLANE_FN void start(const SteppedData<F, NB>& data, const SteppedCurves<F> (&curve)[NB], const Steps& steps,
                       const Prior& prior, const Settings& s, Point<F, NB>& p) {
    const float unit = 1.0f / 16.0f;  // of u, keeps the moments near 1
    F rough[NB];
    for (int b = 0; b < NB; ++b) {
        F air[MAX_POSITIONS], total(0.0f), empty(0.0f);
        air_of(curve[b], steps, air);
        for (int k = 0; k < steps.count; ++k) {
            total = total + data.y[b][k] * data.gain[k];
            empty = empty + air[k] * data.gain[k];
        }
        rough[b] = clamp(total / empty, F(1e-3f), F(s.t_max));
    }
    Tie<F, NB> tied;
    tie(rough, prior, s, tied);
    for (int b = 0; b < NB; ++b) {
        const SteppedCurves<F>& c = curve[b];
        const F o = NB == 2 ? tied.f[b] : rough[b];
        F m[5], r[3];
        for (F& x : m) x = F(0.0f);
        for (F& x : r) x = F(0.0f);
        for (int k = 0; k < steps.count; ++k) {
            const int own = k % steps.ways;
            const F y = data.y[b][k];
            const F net = maximum(y - c.floor * o, y * F(0.02f));
            const F l = log_of(net / c.amplitude[own]);
            const F u = (F(steps.positions[k]) - c.centre[own]) * F(unit);
            const F w = net * net / y * data.gain[k];
            const F wu = w * u, wuu = wu * u;
            m[0] = m[0] + w;
            m[1] = m[1] + wu;
            m[2] = m[2] + wuu;
            m[3] = m[3] + wuu * u;
            m[4] = m[4] + wuu * u * u;
            r[0] = r[0] + w * l;
            r[1] = r[1] + wu * l;
            r[2] = r[2] + wuu * l;
        }
        // Elimination of the constant, then of the slope.
        const F i0 = F(1.0f) / m[0];
        const F q1 = m[1] * i0, q2 = m[2] * i0;
        const F a11 = maximum(m[2] - q1 * m[1], F(1e-6f) * m[2]), a12 = m[3] - q1 * m[2];
        const F b1 = r[1] - q1 * r[0], b2 = r[2] - q2 * r[0];
        const F q = a12 / a11;
        const F a22 = maximum(m[4] - q2 * m[2] - q * a12, F(1e-6f) * m[4]);
        const F curvature = (b2 - q * b1) / a22;
        const F slope = (b1 - a12 * curvature) / a11;
        const F constant = (r[0] - m[1] * slope - m[2] * curvature) * i0;
        const float per_unit2 = 1.0f / (unit * unit);
        const F widest = F(s.dark_field_max * 0.15f) + c.mean_variance;
        const F raw = F(-0.5f * per_unit2) / minimum(curvature, F(-1e-3f));
        const F v = clamp(raw, c.mean_variance * F(0.6f), widest);
        const F bound = F(0.5f * s.refraction_max);
        const F shift = select(raw < widest, clamp(slope * v * F(unit), F(0.0f) - bound, bound), F(0.0f));
        const F ln_t = constant + log_of(v) * F(0.5f) + shift * shift / (v + v);
        p.t[b] = clamp(exp_of(clamp(ln_t, F(-9.0f), F(1.0f))), rough[b] * F(0.3f), rough[b] * F(2.0f) + F(0.01f));
        p.s[b] = shift;
        p.v[b] = v - c.mean_variance;
        p.z[b] = NB == 2 ? F(0.0f) : o;
    }
}

// One problem on its way.
template <class F, int NB> struct SteppedState {
    Point<F, NB> point, trial;
    Tie<F, NB> tie;
    Normal<F> normal[NB];
    F weight[NB][MAX_POSITIONS];
    F cost, lambda;
};

// As iterate() in retrieve.cuh: judges the trial, takes it or raises λ, and makes the next one.
template <class F, int NB>
DARKLANE_FN auto iterate(const SteppedData<F, NB>& data, const SteppedCurves<F> (&curve)[NB], const Curve<F> (&bounds)[NB],
                         const Steps& steps, const Prior& prior, const Settings& s, SteppedState<F, NB>& state) {
    Normal<F> fresh[NB];
    F weight[NB][MAX_POSITIONS];
    Tie<F, NB> tied;
    tie(state.trial.t, prior, s, tied);
    F judged(0.0f), cost(0.0f);
    for (int b = 0; b < NB; ++b) {
        const F z = state.trial.z[b];
        const F o = tied.f[b] + z * F(sd_of<NB>(prior, b));
        judged = judged + assemble(curve[b], steps, data.y[b], data.gain, state.trial.t[b], state.trial.s[b],
                                   state.trial.v[b], o, s.floor_counts, state.weight[b], weight[b], fresh[b]);
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
    Normal<F> movable[NB];
    for (int b = 0; b < NB; ++b) {
        keep(better, fresh[b], state.normal[b]);
        for (int k = 0; k < steps.count; ++k) state.weight[b][k] = select(better, weight[b][k], state.weight[b][k]);
        state.tie.f[b] = select(better, tied.f[b], state.tie.f[b]);
        for (int k = 0; k < NB; ++k) {
            state.tie.slope[b][k] = select(better, tied.slope[b][k], state.tie.slope[b][k]);
        }
        state.point.t[b] = select(better, state.trial.t[b], state.point.t[b]);
        state.point.s[b] = select(better, state.trial.s[b], state.point.s[b]);
        state.point.v[b] = select(better, state.trial.v[b], state.point.v[b]);
        state.point.z[b] = select(better, state.trial.z[b], state.point.z[b]);
        movable[b] = held<NB>(state.normal[b], state.point.s[b], state.point.v[b], state.point.z[b], bounds[b], s);
    }
    Factored<F, NB> factored;
    factor(movable, state.tie, prior, state.lambda, factored);
    aim(movable, state.tie, prior, state.point.z, factored);
    for (int b = 0; b < NB; ++b) {
        const Step3<F> step = private_step(factored, b);
        state.trial.t[b] = clamp(state.point.t[b] + factored.step_t[b], F(s.t_min), F(s.t_max));
        state.trial.s[b] = state.point.s[b] + step.s;
        state.trial.v[b] = state.point.v[b] + step.v;
        state.trial.z[b] = state.point.z[b] + step.z;
    }
    project(state.trial, state.tie, bounds, prior, s);
    const F far = distance(state.trial, state.point, prior, s);
    return (far < F(s.tolerance)) & (state.lambda < F(1.0f));
}

// Fits one problem, or lanes of them in lockstep: a lane that has settled keeps its result. `none(mask)`: is no lane set?
// `converged` is 1 or 0.
template <class F, int NB, class None>
DARKLANE_FN void solve(const SteppedData<F, NB>& data, const SteppedCurves<F> (&curve)[NB], const Curve<F> (&bounds)[NB],
                       const Steps& steps, const Prior& prior, const Settings& s, None none, Point<F, NB>& result,
                       F& converged) {
    SteppedState<F, NB> state = {};
    start(data, curve, steps, prior, s, state.trial);
    tie(state.trial.t, prior, s, state.tie);
    project(state.trial, state.tie, bounds, prior, s);
    state.cost = F(3e38f);
    state.lambda = F(s.lambda_start / s.lambda_accept);
    converged = F(0.0f);
    result = state.trial;
    for (int k = 0; static_cast<float>(k) < s.stepped_iterations; ++k) {
        const auto settled = iterate(data, curve, bounds, steps, prior, s, state);
        const auto moving = converged < F(0.5f);
        for (int b = 0; b < NB; ++b) {
            result.t[b] = select(moving, state.trial.t[b], result.t[b]);
            result.s[b] = select(moving, state.trial.s[b], result.s[b]);
            result.v[b] = select(moving, state.trial.v[b], result.v[b]);
            result.z[b] = select(moving, state.trial.z[b], result.z[b]);
        }
        converged = select(moving & settled, F(1.0f), converged);
        if (none(converged < F(0.5f))) break;
    }
}

}  // namespace DARKLANE_NAMESPACE
