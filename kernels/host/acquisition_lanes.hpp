// Detector correction, stepped retrieval and phase stepping on the processor, SIMD lanes over pixels.
#pragma once
#include "acquisition.hpp"
#include "correct.cuh"
#include "images_lanes.hpp"
#include "sinusoid.cuh"
#include "stepped_finish.cuh"

namespace DARKLANE_NAMESPACE {

template <class T> DARKLANE_FN Lanes widen(const T* from) {
    typedef T Narrow __attribute__((vector_size(sizeof(T) * LANES)));
    Narrow v;
    __builtin_memcpy(&v, from, sizeof v);
    return __builtin_convertvector(v, FloatVector);
}

// One frame; its pixels are a multiple of every vector width.
template <bool PARALYSABLE> void correct_frame(const darklane_host::CorrectJob& job, const Settings& settings, long frame) {
    const long low = 2 * frame * job.pixels, high = low + job.pixels;
    const Lanes per_second(1.0f / job.exposure[frame]), nan(__builtin_nanf(""));
    for (long i = 0; i < job.pixels; i += LANES) {
        const Lanes a = widen(job.values + low + i), b = widen(job.values + high + i);
        const Lanes per_count = load(job.dead_time + i) * per_second;
        const Corrected<Lanes> out = correct<PARALYSABLE>(a, b, widen(job.good + i), per_count, job.full_scale, settings);
        const Mask known = out.flags == Lanes(0.0f);
        store(job.counts + low + i, select(known, a * out.factor, nan));
        store(job.counts + high + i, select(known, b * out.factor, nan));
        float flags[LANES];
        store(flags, out.flags);
        std::uint8_t* to = job.flags + frame * job.pixels + i;
        for (int k = 0; k < LANES; ++k) to[k] = static_cast<std::uint8_t>(flags[k]);
    }
}

inline void correct_frames(const darklane_host::CorrectJob& job) {
    Settings settings;
    std::memcpy(&settings, job.settings, sizeof settings);
#pragma omp parallel for num_threads(job.threads) schedule(static) if (job.threads > 1)
    for (long frame = 0; frame < job.frames; ++frame) {
        if (job.paralysable) {
            correct_frame<true>(job, settings, frame);
        } else {
            correct_frame<false>(job, settings, frame);
        }
    }
}

// Writes up to `count` lanes of images and sigma, `stride` floats from one plane to the next, NaN where not `good`.
template <int N>
void store_planes(const Lanes (&image)[N], const Lanes (&sigma)[N], Mask good, float* images, float* sigmas, long stride,
                  long count) {
    const Lanes nan(__builtin_nanf(""));
    for (int k = 0; k < N; ++k) {
        store_some(images + k * stride, select(good, image[k], nan), count);
        store_some(sigmas + k * stride, select(good, sigma[k], nan), count);
    }
}

inline void store_flags(Lanes flags, std::uint16_t* to, long count) {
    float values[LANES];
    store(values, flags);
    for (int i = 0; i < LANES && i < count; ++i) to[i] = static_cast<std::uint16_t>(values[i]);
}

inline void sinusoids_at(const darklane_host::SinusoidJob& job, const Settings& settings, long at) {
    const long count = job.n - at;
    const Stepping steps = {job.projection, job.basis, job.count};
    const auto sample = [&](int k) { return load_some(job.samples + k * job.n + at, count); };
    const Sinusoid<Lanes> seen = fit_sinusoid<Lanes>(steps, job.variance_factor, sample, settings);
    Sinusoid<Lanes> empty = perfect_sinusoid<Lanes>();
    if (job.reference_count > 0) {
        const Stepping there = {job.reference_projection, job.reference_basis, job.reference_count};
        const auto flat = [&](int k) { return load_some(job.reference + k * job.n + at, count); };
        empty = fit_sinusoid<Lanes>(there, job.variance_factor, flat, settings);
    }
    Compared<Lanes> out;
    compare(seen, job.count, empty, job.reference_count, job.period, settings, out);
    const Mask good = out.flags < Lanes(BAD_INPUT);
    store_planes(out.image, out.sigma, good, job.images + at, job.sigma + at, job.n, count);
    store_flags(out.flags, job.flags + at, count);
}

inline void retrieve_sinusoid(const darklane_host::SinusoidJob& job) {
    Settings settings;
    std::memcpy(&settings, job.settings, sizeof settings);
#pragma omp parallel for num_threads(job.threads) schedule(static) if (job.threads > 1)
    for (long at = 0; at < job.n; at += LANES) sinusoids_at(job, settings, at);
}

// Places of lanes of problems in the three kinds of plane; lanes without a problem repeat the last one.
struct OfProblems {
    long at[3][LANES];
    Lanes operator()(const float* plane, int kind) const {
        float values[LANES];
        for (int i = 0; i < LANES; ++i) values[i] = plane[at[kind][i]];
        return load(values);
    }
};

template <int NB>
void stepped_at(const darklane_host::SteppedJob& job, const SteppedInput& in, const Settings& settings, const Prior& prior,
                long first) {
    OfProblems read;
    for (long i = 0; i < LANES; ++i) {
        const long problem = first + i < in.n ? first + i : in.n - 1;
        read.at[OF_PROBLEMS][i] = problem;
        read.at[OF_CURVES][i] = in.curve_plane == in.n ? problem : problem / job.columns;
        read.at[OF_COLUMNS][i] = problem % job.columns;
    }
    const Steps steps = {job.positions, job.count, job.ways, job.pitch};
    const auto none = [](Mask mask) { return bits(mask) == 0; };
    Outcome<Lanes, NB> out;
    Lanes good;
    retrieve_stepped<Lanes, NB>(read, in, steps, prior, settings, none, out, good);
    const Mask known = good > Lanes(0.0f);
    for (int b = 0; b < NB; ++b) {
        Lanes image[4], sigma[4];
        for (int c = 0; c < 4; ++c) {
            image[c] = out.image[c][b];
            sigma[c] = out.sigma[c][b];
        }
        const long at = b * in.n + first, count = in.n - first;
        store_planes(image, sigma, known, job.images + at, job.sigma + at, NB * in.n, count);
        store_flags(select(known, out.flags[b], Lanes(BAD_INPUT)), job.flags + at, count);
    }
}

template <int NB> void retrieve_stepped_bins(const darklane_host::SteppedJob& job) {
    Settings settings;
    Prior prior;
    std::memcpy(&settings, job.settings, sizeof settings);
    std::memcpy(&prior, job.prior, sizeof prior);
    const long lines = job.rows * (NB == 2 ? 1 : 2), n = lines * job.columns;
    const SteppedInput in = {job.samples,  job.curves, job.exposure,
                             job.variance, n,          lines * job.curve_columns, static_cast<int>(job.columns)};
#pragma omp parallel for num_threads(job.threads) schedule(dynamic, 16) if (job.threads > 1)
    for (long first = 0; first < n; first += LANES) stepped_at<NB>(job, in, settings, prior, first);
}

inline void retrieve_stepped(const darklane_host::SteppedJob& job) {
    if (job.map) {
        retrieve_stepped_bins<2>(job);
    } else {
        retrieve_stepped_bins<1>(job);
    }
}

}  // namespace DARKLANE_NAMESPACE
