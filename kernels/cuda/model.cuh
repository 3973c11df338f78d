// Equation (2): the four samples of one bin as sums of Gaussians, and what their derivatives are built from.
#pragma once
#include "settings.cuh"

namespace DARKLANE_NAMESPACE {

constexpr int GROUPS = 4;
constexpr int CURVE_INPUTS = 13;   // areas, centres, widths of the four groups, and the floor: equation (1)
constexpr int CURVE_PREPARED = 18; // what Curve holds

// The curves of one bin and row as the retrieval uses them.
template <class F> struct Curve {
    F amplitude[GROUPS];  // a_i0 / √2π
    F offset[GROUPS];     // x_i − a_i1: where the own sample point lies on the curve, µm
    F variance[GROUPS];   // a_i2², µm²
    F floor;              // a3, counts
    F dark_field_min;     // lower bound of τ² that keeps every variance positive, µm²
    F air[GROUPS];        // counts without a sample
};

// Σ E, Σ E u/v and ½ Σ E (u²/v − 1)/v of every group, with v = a_i2² + τ² and u measured from the shifted curve.
// PAPER: all four Gaussians as printed. Otherwise own, left and right neighbour, wrapped into the next period.
template <bool PAPER, class F>
DARKLANE_FN void gaussians(const Curve<F>& curve, F shift, F dark_field, float pitch, F (&sum)[GROUPS],
                           F (&d_shift)[GROUPS], F (&d_dark)[GROUPS]) {
    DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) sum[g] = d_shift[g] = d_dark[g] = F(0.0f);
    DARKLANE_UNROLL for (int i = 0; i < GROUPS; ++i) {
        const F root = inverse_root(curve.variance[i] + dark_field);
        const F inverse = root * root;
        const F amplitude = curve.amplitude[i] * root;
        const F u = curve.offset[i] - shift;
        const F half = inverse * F(0.5f);
        DARKLANE_UNROLL for (int k = PAPER ? 0 : -1; k <= (PAPER ? GROUPS - 1 : 1); ++k) {
            const int g = PAPER ? k : (i + k) & (GROUPS - 1);
            const float away = pitch * static_cast<float>(PAPER ? k - i : k);
            const F d = u + F(away);
            const F slope = d * inverse;
            const F z = d * slope;
            const F e = amplitude * exp2_of(z * F(-0.72134752f));  // exp(−z/2)
            sum[g] = sum[g] + e;
            d_shift[g] = d_shift[g] + e * slope;
            d_dark[g] = d_dark[g] + (e * half) * (z - F(1.0f));
        }
    }
}

// A Curve from the 13 parameters of equation (1) and the working point; scalar, once per row.
template <bool PAPER> DARKLANE_FN Curve<float> prepare(const float* p, float x, const Settings& s) {
    Curve<float> curve;
    float narrowest = p[8] * p[8];
    DARKLANE_UNROLL for (int i = 0; i < GROUPS; ++i) {
        curve.amplitude[i] = p[i] * 0.39894228f;
        curve.offset[i] = x + s.pitch * static_cast<float>(i) - p[4 + i];
        curve.variance[i] = p[8 + i] * p[8 + i];
        narrowest = minimum(narrowest, curve.variance[i]);
    }
    curve.floor = p[12];
    curve.dark_field_min = maximum(s.dark_field_min, (s.variance_fraction - 1.0f) * narrowest);
    float d_shift[GROUPS], d_dark[GROUPS];
    gaussians<PAPER>(curve, 0.0f, 0.0f, s.pitch, curve.air, d_shift, d_dark);
    DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) curve.air[g] += curve.floor;
    return curve;
}

}  // namespace DARKLANE_NAMESPACE
