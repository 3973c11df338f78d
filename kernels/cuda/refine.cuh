// The residuals of a fit in twice the precision, and the step that they ask for.
//
// With o free four unknowns answer four samples exactly. Where the samples hardly tell the unknowns apart, the last bits
// of a float in the curves become visible in them; there, and only there, the curves are computed again.
#pragma once
#include "second_order.cuh"
#include "twofold.cuh"

namespace DARKLANE_NAMESPACE {

// Rounding shows in an unknown as less than 1e-4 of its size where σ √counts is less than REFINE_SPREAD of that size; the
// size is at least REFINE_SIZE of the unknown's scale in the stopping rule.
constexpr float REFINE_SPREAD = 250.0f;
constexpr float REFINE_SIZE = 0.1f;
constexpr float REFINE_GAIN = 0.1f;  // a step that would lower χ² by more is not taken
constexpr int REFINE_STEPS = 4;

// One bin of a pixel as it came, before anything was rounded: the curves of equation (1), the working point, and counts.
template <class F> struct Given {
    F curve[CURVE_INPUTS];
    F x;
    F counts[GROUPS];
    F exposure;
};

// Samples less model at (t, s, v, o), over exposure; right to 4e-9 of the samples.
template <bool PAPER, class F>
DARKLANE_FN void residuals(const Given<F>& in, F t, F s, F v, F o, float pitch, F (&r)[GROUPS]) {
    const F zero(0.0f);
    Twofold<F> model[GROUPS];
    const Twofold<F> background = product(in.curve[12], o);
    DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) model[g] = {zero, zero};
    // Not unrolled, that would take registers; so the groups come round instead: model[1] is that of curve i.
    DARKLANE_ROLL for (int i = 0; i < GROUPS; ++i) {
        const Twofold<F> root = inverse_root(product(in.curve[8 + i], in.curve[8 + i]) + v);
        const Twofold<F> half = root * root * F(-0.5f);
        const Twofold<F> amplitude = root * in.curve[i];
        const Twofold<F> u = sum(F(pitch * static_cast<float>(i)), zero - in.curve[4 + i]) + in.x + (zero - s);
        DARKLANE_UNROLL for (int k = 0; k < (PAPER ? GROUPS : 3); ++k) {
            const int away = PAPER ? (k + i + GROUPS - 1) % GROUPS - i : k - 1;
            const Twofold<F> d = u + F(pitch * static_cast<float>(away));
            model[k] = model[k] + amplitude * exp_of(d * d * half);
        }
        const Twofold<F> first = model[0];
        DARKLANE_UNROLL for (int g = 1; g < GROUPS; ++g) model[g - 1] = model[g];
        model[GROUPS - 1] = first;
    }
    const Twofold<F> scale = Twofold<F>{F(0.39894228f), F(-1.1335170e-8f)} * t;  // t/√2π
    DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) {
        const Twofold<F> counts = (model[(g + 1) % GROUPS] * scale + background) * in.exposure;
        r[g] = ((in.counts[g] - counts.high) - counts.low) / in.exposure;
    }
}

// Whether float32 leaves an unknown of a fit with o free uncertain by more than a small part of its size: 1 or 0. A fault
// excuses. A sample y that is off by e y moves an unknown by less than e √y σ; compared are the squares.
template <class F>
DARKLANE_FN F weak(const Data<F, 1>& data, const Point<F, 1>& p, const Covariance<F>& c, F faults, const Settings& s) {
    F most = data.y[0][0];
    DARKLANE_UNROLL for (int g = 1; g < GROUPS; ++g) most = maximum(most, data.y[0][g]);
    const F limit = F(REFINE_SPREAD * REFINE_SPREAD) / (most * data.gain);
    const F variance[4] = {c.tt, c.ss, c.vv, c.oo}, at[4] = {p.t[0], p.s[0], p.v[0], p.z[0]};
    const float scale[4] = {s.step_t, s.step_refraction, s.step_dark_field, s.step_offset};
    F worst = F(0.0f) - limit;
    DARKLANE_UNROLL for (int k = 0; k < 4; ++k) {
        const F size = maximum(magnitude(at[k]), F(scale[k] * REFINE_SIZE));
        worst = maximum(worst, variance[k] - limit * size * size);
    }
    return select((worst > F(0.0f)) & (faults == F(0.0f)), F(1.0f), F(0.0f));
}

// Newton's steps from the point of a fit with o free, with slopes of float32 and residuals of twice that. One is enough but
// where the fit stopped in a long valley. A step that is no small part of σ is not taken.
template <bool PAPER, class F>
DARKLANE_FN void refine(const Given<F>& in, F gain, const Curve<F> (&curve)[1], const Prior& prior, const Settings& s,
                        Point<F, 1>& p) {
    const F zero(0.0f), none[GROUPS] = {zero, zero, zero, zero}, at_rest[1] = {zero};
    F going(1.0f);
    for (int k = 0; k < REFINE_STEPS && any(going > zero); ++k) {
        F r[GROUPS], a[GROUPS], b[GROUPS], c[GROUPS];
        residuals<PAPER>(in, p.t[0], p.s[0], p.v[0], p.z[0], s.pitch, r);
        gaussians<PAPER>(curve[0], p.s[0], p.v[0], s.pitch, a, b, c);
        Normal<F> n[1];
        assemble_from(curve[0], none, gain, p.t[0], p.z[0], s, none, a, b, c, n[0]);  // all but what samples are in
        n[0].gt = n[0].gs = n[0].gv = n[0].go = zero;
        DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) {
            const F wr = n[0].weight[g] * r[g], wrt = wr * p.t[0];
            n[0].gt = n[0].gt + wr * a[g];
            n[0].gs = n[0].gs + wrt * b[g];
            n[0].gv = n[0].gv + wrt * c[g];
            n[0].go = n[0].go + wr * curve[0].floor;
        }
        Tie<F, 1> tied;
        Factored<F, 1> f;
        tie(p.t, prior, s, tied);
        factor(n, tied, prior, zero, f);
        aim(n, tied, prior, at_rest, f);
        const Step3<F> step = private_step(f, 0);
        const F lower = n[0].gt * f.step_t[0] + n[0].gs * step.s + n[0].gv * step.v + n[0].go * step.z;
        going = select((lower < F(REFINE_GAIN)) & (p.t[0] + f.step_t[0] > zero), going, zero);
        const Point<F, 1> from = p;
        p.t[0] = p.t[0] + going * f.step_t[0];
        p.s[0] = p.s[0] + going * step.s;
        p.v[0] = p.v[0] + going * step.v;
        p.z[0] = p.z[0] + going * step.z;
        going = select(distance(p, from, prior, s) > F(s.tolerance), going, zero);
    }
}

}  // namespace DARKLANE_NAMESPACE
