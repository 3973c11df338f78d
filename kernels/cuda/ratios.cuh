// Derived ratio images of one pixel with propagated 1-σ (physics.md 6).
#pragma once
#include "settings.cuh"

namespace DARKLANE_NAMESPACE {

constexpr int RATIOS = 7;  // attenuation low, high; R_df; R_ab; R_of; dark-field / attenuation low, high

template <class F> struct Measured {
    F value, sigma;
};

// −ln x; NaN where x is not positive.
template <class F> DARKLANE_FN Measured<F> minus_log(Measured<F> x) {
    const F nan(float_of(0x7fc00000));
    const auto positive = x.value > F(1e-30f);
    const F safe = select(positive, x.value, F(1.0f));
    return {select(positive, F(0.0f) - log_of(safe), nan), select(positive, x.sigma / safe, nan)};
}

// a/b; NaN where b is not significant.
template <class F> DARKLANE_FN Measured<F> quotient(Measured<F> a, Measured<F> b, float significance) {
    const F nan(float_of(0x7fc00000));
    const F size = magnitude(b.value);
    const auto clear = size > b.sigma * F(significance);
    const F safe = select(clear, b.value, F(1.0f));
    const F value = a.value / safe;
    const F spread = value * b.sigma;
    const F variance = clamp(a.sigma * a.sigma + spread * spread, F(1e-30f), F(1e30f));
    const F sigma = variance * inverse_root(variance) / magnitude(safe);
    // A NaN of a goes through: it makes `value` one.
    return {select(clear, value, nan), select(clear, sigma + (value - value), nan)};
}

template <class F>
DARKLANE_FN void ratios(const Measured<F> (&t)[2], const Measured<F> (&dark)[2], const Measured<F> (&offset)[2],
                        const Settings& s, Measured<F> (&out)[RATIOS]) {
    const float limit = s.ratio_significance;
    out[0] = minus_log(t[0]);
    out[1] = minus_log(t[1]);
    out[2] = quotient(dark[0], dark[1], limit);
    out[3] = quotient(out[0], out[1], limit);
    out[4] = quotient(minus_log(offset[0]), minus_log(offset[1]), limit);
    out[5] = quotient(dark[0], out[0], limit);
    out[6] = quotient(dark[1], out[1], limit);
}

}  // namespace DARKLANE_NAMESPACE
