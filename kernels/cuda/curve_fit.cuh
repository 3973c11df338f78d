// Equation (1) fitted to a mask scan: 13 parameters of one row and bin from the counts of four groups at P positions.
#pragma once
#include "model.cuh"

namespace DARKLANE_NAMESPACE {

constexpr int CURVE_ITERATIONS = 40;
constexpr int TRIANGLE = CURVE_INPUTS * (CURVE_INPUTS + 1) / 2;

// Where entry (i, j), j ≤ i, of the lower triangle lies.
DARKLANE_FN constexpr int entry(int i, int j) { return i * (i + 1) / 2 + j; }

template <class F> struct CurveSystem {
    F matrix[TRIANGLE], gradient[CURVE_INPUTS];
    F cost, squares, peak;  // Σ w r², Σ r², highest model count
};

// One sample: model, derivatives by the parameters that matter to this group, and their products.
template <bool PAPER, class F>
DARKLANE_FN void add_sample(int g, float x, float pitch, F y, F least, const F (&p)[CURVE_INPUTS], const F (&inverse)[GROUPS],
                            CurveSystem<F>& out) {
    constexpr int NEAR = PAPER ? GROUPS : 3;
    int index[3 * NEAR + 1];
    F slope[3 * NEAR + 1];
    F model = p[12];
    for (int k = 0; k < NEAR; ++k) {
        const int i = PAPER ? k : (g + k + GROUPS - 1) & (GROUPS - 1);
        const float away = pitch * static_cast<float>(PAPER ? g - k : 1 - k);  // from the own sample point of curve i
        const F u = F(x + pitch * static_cast<float>(i)) - p[4 + i] + F(away);
        const F z = u * u * inverse[i] * inverse[i];
        const F shape = exp2_of(z * F(-0.72134752f)) * inverse[i] * F(0.39894228f);
        const F e = shape * p[i];
        model = model + e;
        index[3 * k] = i;
        index[3 * k + 1] = 4 + i;
        index[3 * k + 2] = 8 + i;
        slope[3 * k] = shape;
        slope[3 * k + 1] = e * u * inverse[i] * inverse[i];
        slope[3 * k + 2] = e * (z - F(1.0f)) * inverse[i];
    }
    index[3 * NEAR] = 12;
    slope[3 * NEAR] = F(1.0f);
    const F r = y - model;
    const F w = F(1.0f) / maximum(y, least);
    out.cost = out.cost + w * r * r;
    out.squares = out.squares + r * r;
    out.peak = maximum(out.peak, model);
    for (int a = 0; a <= 3 * NEAR; ++a) {
        const F wa = w * slope[a];
        F& gradient = out.gradient[index[a]];
        gradient = gradient + wa * r;
        for (int b = 0; b <= a; ++b) {
            const int i = index[a] > index[b] ? index[a] : index[b], j = index[a] > index[b] ? index[b] : index[a];
            F& m = out.matrix[entry(i, j)];
            m = m + wa * slope[b];
        }
    }
}

// `sample(position, group)` gives the counts. Least squares weighted with 1/max(y, least).
template <bool PAPER, class F, class Sample>
DARKLANE_FN void curve_system(const float* positions, int count, float pitch, Sample sample, F least,
                              const F (&p)[CURVE_INPUTS], CurveSystem<F>& out) {
    for (int i = 0; i < TRIANGLE; ++i) out.matrix[i] = F(0.0f);
    for (int i = 0; i < CURVE_INPUTS; ++i) out.gradient[i] = F(0.0f);
    out.cost = out.squares = out.peak = F(0.0f);
    F inverse[GROUPS];
    for (int i = 0; i < GROUPS; ++i) inverse[i] = F(1.0f) / p[8 + i];
    for (int k = 0; k < count; ++k) {
        for (int g = 0; g < GROUPS; ++g) {
            add_sample<PAPER>(g, positions[k], pitch, sample(k, g), least, p, inverse, out);
        }
    }
}

// Solves (A + λ diag A) x = b by LDLᵀ; a pivot never falls below 1e-6 of its diagonal.
template <class F> DARKLANE_FN void curve_step(const CurveSystem<F>& s, F lambda, F (&x)[CURVE_INPUTS]) {
    F l[TRIANGLE], inverse[CURVE_INPUTS];
    for (int i = 0; i < CURVE_INPUTS; ++i) {
        for (int j = 0; j <= i; ++j) {
            F sum = s.matrix[entry(i, j)];
            if (j == i) sum = sum + lambda * sum + F(1e-30f);
            for (int k = 0; k < j; ++k) sum = sum - l[entry(i, k)] * l[entry(j, k)] * inverse[k];
            if (j == i) {
                const F pivot = maximum(sum, s.matrix[entry(i, i)] * F(1e-6f) + F(1e-30f));
                inverse[i] = F(1.0f) / pivot;
            }
            l[entry(i, j)] = sum;  // L times its pivot
        }
    }
    for (int i = 0; i < CURVE_INPUTS; ++i) {
        x[i] = s.gradient[i];
        for (int k = 0; k < i; ++k) x[i] = x[i] - l[entry(i, k)] * inverse[k] * x[k];
    }
    for (int i = CURVE_INPUTS - 1; i >= 0; --i) {
        x[i] = x[i] * inverse[i];
        for (int k = i + 1; k < CURVE_INPUTS; ++k) x[i] = x[i] - l[entry(k, i)] * inverse[i] * x[k];
    }
}

// Fits from the start in `p`; `residual` is the rms over the peak above the floor. `none(mask)`: is no lane set?
template <bool PAPER, class F, class Sample, class None>
DARKLANE_FN void fit_curve(const float* positions, int count, Sample sample, F least, const Settings& s, None none,
                           F (&p)[CURVE_INPUTS], F& residual) {
    CurveSystem<F> at, tried;
    curve_system<PAPER>(positions, count, s.pitch, sample, least, p, at);
    F lambda(s.lambda_start), step[CURVE_INPUTS], trial[CURVE_INPUTS];
    F moving(1.0f);
    for (int k = 0; k < CURVE_ITERATIONS; ++k) {
        curve_step(at, lambda, step);
        F far(0.0f);
        for (int i = 0; i < CURVE_INPUTS; ++i) {
            trial[i] = p[i] + step[i] * moving;
            if (i >= 8 && i < 12) trial[i] = clamp(trial[i], F(1.0f), F(s.pitch));
            // Areas and the floor move relative to their size, centres and widths in µm.
            const F scale = i >= 4 && i < 12 ? F(1.0f) : magnitude(p[i]) + F(1e-3f) * magnitude(p[0]);
            far = maximum(far, magnitude(trial[i] - p[i]) / scale);
        }
        curve_system<PAPER>(positions, count, s.pitch, sample, least, trial, tried);
        const auto better = tried.cost <= at.cost;
        for (int i = 0; i < CURVE_INPUTS; ++i) p[i] = select(better, trial[i], p[i]);
        for (int i = 0; i < TRIANGLE; ++i) at.matrix[i] = select(better, tried.matrix[i], at.matrix[i]);
        for (int i = 0; i < CURVE_INPUTS; ++i) at.gradient[i] = select(better, tried.gradient[i], at.gradient[i]);
        at.cost = select(better, tried.cost, at.cost);
        at.squares = select(better, tried.squares, at.squares);
        at.peak = select(better, tried.peak, at.peak);
        lambda = clamp(lambda * select(better, F(s.lambda_accept), F(s.lambda_reject)), F(s.lambda_min), F(s.lambda_max));
        // Rounding alone rejects the last steps of a good fit: a short one ends it either way.
        moving = select(far < F(1e-5f), F(0.0f), moving);
        if (none(moving > F(0.0f))) break;
    }
    const F mean = at.squares * F(0.25f / static_cast<float>(count)) + F(1e-30f);
    residual = mean * inverse_root(mean) / maximum(at.peak - p[12], F(1e-20f));
}

}  // namespace DARKLANE_NAMESPACE
