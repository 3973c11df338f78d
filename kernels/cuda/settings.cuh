// Constants of the kernels. They are defined in kernels/settings.py, which sends them as floats in this order: to the host
// build with every call, to the GPU's compiler as DARKLANE_SETTINGS.
#pragma once
#include "lanes.cuh"

namespace DARKLANE_NAMESPACE {

struct Settings {
    float pitch;
    float t_min, t_max, refraction_max, dark_field_min, dark_field_max, offset_min, offset_max;
    float variance_fraction, floor_counts;
    float lambda_start, lambda_accept, lambda_reject, lambda_min, lambda_max;
    float tolerance, step_t, step_refraction, step_dark_field, step_offset, max_iterations;
    float prior_t_min, prior_ln_min, prior_ln_max, prior_sd_min;
    float chi2_exact, chi2_map, low_counts, saturated_counts, singular_spread, singular_width, singular_pivot,
        prior_dominated_sd;
    float ratio_significance;
    float pile_up_fraction;
    float stepped_iterations;
    float gain_least, gain_part, singular_spread_free;
    float second_order_spread, bias_least, bias_most, skew_growth, skew_reach, map_coverage, skew_growth_free;
};

#if defined(DARKLANE_SETTINGS)
// Known to the compiler, they are part of the instructions and take no registers.
DARKLANE_FN constexpr Settings settings() { return {DARKLANE_SETTINGS}; }
#endif

enum Flag {
    NOT_CONVERGED = 1,
    NO_EXACT_ROOT = 2,
    BOUND_HIT = 4,
    SINGULAR = 8,
    LOW_COUNTS = 16,
    BAD_INPUT = 32,
    PRIOR_DOMINATED = 64,
    SKEWED = 128
};

}  // namespace DARKLANE_NAMESPACE
