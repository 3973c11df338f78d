// Ratio images and illumination-curve fits on the processor, SIMD lanes over pixels and rows.
#pragma once
#include "curve_fit.cuh"
#include "isa.hpp"
#include "ratios.cuh"
#include "simd.hpp"

#include <cstring>

namespace DARKLANE_NAMESPACE {

// Up to LANES floats; the rest repeats the first, so that it is harmless.
inline Lanes load_some(const float* from, long count) {
    float values[LANES];
    for (int i = 0; i < LANES; ++i) values[i] = from[i < count ? i : 0];
    return load(values);
}

inline void store_some(float* to, Lanes x, long count) {
    float values[LANES];
    store(values, x);
    for (int i = 0; i < LANES && i < count; ++i) to[i] = values[i];
}

inline void ratio_images_at(const darklane_host::RatiosJob& job, const Settings& settings, long at) {
    const long count = job.n - at;
    Measured<Lanes> channel[4][2], out[RATIOS];
    for (int k = 0; k < 8; ++k) {
        channel[k / 2][k % 2] = {load_some(job.images + k * job.n + at, count), load_some(job.sigma + k * job.n + at, count)};
    }
    ratios(channel[0], channel[2], channel[3], settings, out);
    for (int k = 0; k < RATIOS; ++k) {
        store_some(job.values + k * job.n + at, out[k].value, count);
        store_some(job.errors + k * job.n + at, out[k].sigma, count);
    }
}

inline void ratio_images(const darklane_host::RatiosJob& job) {
    Settings settings;
    std::memcpy(&settings, job.settings, sizeof settings);
#pragma omp parallel for num_threads(job.threads) schedule(static) if (job.threads > 1)
    for (long at = 0; at < job.n; at += LANES) ratio_images_at(job, settings, at);
}

template <bool PAPER> void fit_curves_at(const darklane_host::CurvesJob& job, const Settings& settings, long line) {
    const long count = job.lines - line;
    Lanes p[CURVE_INPUTS], residual;
    for (int i = 0; i < CURVE_INPUTS; ++i) p[i] = load_some(job.parameters + i * job.lines + line, count);
    const auto sample = [&](int k, int g) { return load_some(job.flats + (k * GROUPS + g) * job.lines + line, count); };
    const auto none = [](Mask mask) { return bits(mask) == 0; };
    fit_curve<PAPER>(job.positions, job.count, sample, load_some(job.least + line, count), settings, none, p, residual);
    for (int i = 0; i < CURVE_INPUTS; ++i) store_some(job.parameters + i * job.lines + line, p[i], count);
    store_some(job.residual + line, residual, count);
}

inline void fit_curves(const darklane_host::CurvesJob& job) {
    Settings settings;
    std::memcpy(&settings, job.settings, sizeof settings);
#pragma omp parallel for num_threads(job.threads) schedule(static) if (job.threads > 1)
    for (long line = 0; line < job.lines; line += LANES) {
        if (job.paper) {
            fit_curves_at<true>(job, settings, line);
        } else {
            fit_curves_at<false>(job, settings, line);
        }
    }
}

}  // namespace DARKLANE_NAMESPACE
