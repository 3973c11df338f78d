// Detector correction of one pixel: true counts from those that the dead time left over, and what cannot be told.
//
// A photon makes the whole pixel dead, whatever its energy: the rate that matters is that of both bins together, and
// both bins lose the same fraction.
#pragma once
#include "settings.cuh"

namespace DARKLANE_NAMESPACE {

enum PixelFlag { MASKED = 1, SATURATED = 2 };

template <class F> struct Corrected {
    F factor;  // true over measured counts
    F flags;   // a whole number; the counts are no measurement where it is not zero
};

// True over measured counts for `x` = measured rate × dead time, below the highest that can be measured.
template <bool PARALYSABLE, class F> DARKLANE_FN F pile_up(F x) {
    const F one(1.0f);
    if (!PARALYSABLE) return one / (one - x);
    // y = true rate × dead time solves y exp(−y) = x with y < 1. The first terms of its series lie below it; from there
    // Newton steps on y − x exp(y) go up to it and never past it. Four leave less than rounding.
    F y = x + x * x * (one + x * F(1.5f));
    DARKLANE_UNROLL for (int k = 0; k < 4; ++k) {
        const F lost = x * exp_of(y);
        y = y + (lost - y) / (one - lost);
    }
    return select(x > F(0.0f), exp_of(y), one);
}

// `low` and `high`: measured counts of the bins; `good` is 0 for a masked pixel; `per_count`: dead time over exposure.
template <bool PARALYSABLE, class F>
DARKLANE_FN Corrected<F> correct(F low, F high, F good, F per_count, float full_scale, const Settings& s) {
    const float limit = s.pile_up_fraction * (PARALYSABLE ? 0.36787944f : 1.0f);  // y exp(−y) is never above 1/e
    const F zero(0.0f), x = (low + high) * per_count, full(full_scale);
    const auto readable = (x < F(limit)) & (low < full) & (high < full);
    const F saturated = select(readable, zero, F(SATURATED));
    return {pile_up<PARALYSABLE>(minimum(x, F(limit))), select(good > zero, saturated, F(MASKED))};
}

}  // namespace DARKLANE_NAMESPACE
