// The input of the networks on the processor, SIMD lanes over pixels: one pass over memory, plane by plane, because planes lie
// a multiple of the page size apart and would push each other out of the caches.
#pragma once
#include "images_lanes.hpp"
#include "network_planes.hpp"

#include <cmath>

namespace DARKLANE_NAMESPACE {

constexpr long PLANES = 17;
// Floats ahead of those in work that the caches are asked for: of a slab, the rows follow each other in memory.
constexpr long AHEAD = 512;

// Past the caches: a tile is larger than they are, and is read when all of it is there. `to` is aligned to a vector.
DARKLANE_FN void stream(float* to, Lanes x) {
#if DARKLANE_LANES == 16 && defined(__AVX512F__)
    _mm512_stream_ps(to, (__m512)x.v);
#elif DARKLANE_LANES == 8 && defined(__AVX2__)
    _mm256_stream_ps(to, (__m256)x.v);
#elif DARKLANE_LANES == 4 && defined(__SSE2__)
    _mm_stream_ps(to, (__m128)x.v);
#else
    store(to, x);
#endif
}

// Whether both bins of up to LANES pixels can be used, by their flags.
DARKLANE_FN Mask unflagged(const std::uint16_t* low, const std::uint16_t* high, std::uint16_t unusable, long count) {
    typedef std::uint16_t Narrow __attribute__((vector_size(2 * LANES)));
    Narrow a = {}, b = {};
    if (count >= LANES) {
        __builtin_memcpy(&a, low, sizeof a);
        __builtin_memcpy(&b, high, sizeof b);
    } else {
        for (long i = 0; i < count; ++i) {
            a[i] = low[i];
            b[i] = high[i];
        }
    }
    return {__builtin_convertvector((a | b) & unusable, IntVector) == 0};
}

// Calls pixels(column, count) for a row of them, LANES at a time; the last ones may be done twice. WHOLE: rows begin and end
// with a whole vector.
template <bool WHOLE, class Pixels> DARKLANE_FN void across(long columns, const Pixels& pixels) {
    const long last = columns > LANES ? columns - LANES : 0, count = columns < LANES ? columns : LANES;
    for (long at = 0; at < columns; at += LANES) {
        if (WHOLE) {
            pixels(at, long(LANES));
        } else {
            pixels(at < last ? at : last, count);
        }
    }
}

template <bool WHOLE> DARKLANE_FN void put(float* to, Lanes x, long count) {
    if (WHOLE) {
        stream(to, x);
    } else if (count >= LANES) {
        store(to, x);
    } else {
        store_some(to, x, count);
    }
}

DARKLANE_FN Lanes take(const float* from, long count) { return count >= LANES ? load(from) : load_some(from, count); }

DARKLANE_FN long at_line(const long (&stride)[3], long channel, long bin, long row) {
    return channel * stride[0] + bin * stride[1] + row * stride[2];
}

template <bool WHOLE> struct Planes {
    const darklane_host::NetworkPlanesJob job;

    // Values and 1-σ of one channel and bin; whether a pixel without a flag is no number.
    template <bool LOGARITHM> bool pair(long channel, long bin, const float* logarithms) const {
        const Lanes least(job.limits[2 * channel]), most(job.limits[2 * channel + 1]), zero(0.0f);
        const Lanes floor(job.floor), floor_logarithm(job.floor_logarithm);
        const std::uint16_t unusable = job.unusable;
        Lanes strange = zero;  // NaN once something was not finite
        for (long row = 0; row < job.rows; ++row) {
            const float* values = job.images + at_line(job.image_stride, channel, bin, row);
            const float* errors = job.sigma + at_line(job.sigma_stride, channel, bin, row);
            const float* known = LOGARITHM ? logarithms + row * job.columns : nullptr;
            const std::uint16_t *low = job.flags + row * job.flag_stride[1], *high = low + job.flag_stride[0];
            float *to = line(2 * (2 * channel + bin), row), *to_error = to + job.plane_stride[0];
            across<WHOLE>(job.columns, [&](long at, long count) {
                __builtin_prefetch(values + at + AHEAD);
                __builtin_prefetch(errors + at + AHEAD);
                const Mask good = unflagged(low + at, high + at, unusable, count);
                Lanes value = take(values + at, count), error = take(errors + at, count);
                strange = strange + select(good, value * zero + error * zero, zero);
                if (LOGARITHM) {
                    error = Lanes(error.v / maximum(value, floor).v);  // rounded as NumPy does
                    value = zero - select(value > floor, take(known + at, count), floor_logarithm);
                }
                put<WHOLE>(to + at, select(good, clamp(value, least, most), zero), count);
                put<WHOLE>(to_error + at, select(good, clamp(error, zero, most), zero), count);
            });
        }
        return bits(strange == strange) != bits(zero == zero);
    }

    // 1 where a pixel has none of the flags.
    void valid() const {
        const Lanes zero(0.0f), one(1.0f);
        const std::uint16_t unusable = job.unusable;
        for (long row = 0; row < job.rows; ++row) {
            const std::uint16_t *low = job.flags + row * job.flag_stride[1], *high = low + job.flag_stride[0];
            float* to = line(PLANES - 1, row);
            across<WHOLE>(job.columns, [&](long at, long count) {
                put<WHOLE>(to + at, select(unflagged(low + at, high + at, unusable, count), one, zero), count);
            });
        }
    }

    float* line(long plane, long row) const { return job.planes + plane * job.plane_stride[0] + row * job.plane_stride[1]; }

    // All planes of pixels of which something is not finite are zero; no flag said so.
    void clear() const {
        for (long row = 0; row < job.rows; ++row)
            for (long column = 0; column < job.columns; ++column) {
                bool finite = true;
                for (long channel = 0; channel < 4; ++channel)
                    for (long bin = 0; bin < 2; ++bin) {
                        finite &= std::isfinite(job.images[at_line(job.image_stride, channel, bin, row) + column]) &&
                                  std::isfinite(job.sigma[at_line(job.sigma_stride, channel, bin, row) + column]);
                    }
                for (long plane = 0; plane < PLANES && !finite; ++plane) line(plane, row)[column] = 0.0f;
            }
    }

    void fill() const {
        const float* logarithms = job.logarithms;
        bool strange = false;
        for (long channel = 0; channel < 4; ++channel)
            for (long bin = 0; bin < 2; ++bin) {
                if (job.logarithmic[channel]) {
                    strange |= pair<true>(channel, bin, logarithms);
                    logarithms += job.rows * job.columns;
                } else {
                    strange |= pair<false>(channel, bin, nullptr);
                }
            }
        valid();
#if defined(__x86_64__)
        _mm_sfence();  // whoever is told that the planes are there sees them
#endif
        if (strange) clear();
    }
};

inline void network_planes(const darklane_host::NetworkPlanesJob& job) {
    const auto whole = [](long floats) { return floats % LANES == 0; };
    if (reinterpret_cast<std::uintptr_t>(job.planes) % (4 * LANES) == 0 && whole(job.plane_stride[0]) &&
        whole(job.plane_stride[1]) && whole(job.columns)) {
        Planes<true>{job}.fill();
    } else {
        Planes<false>{job}.fill();
    }
}

}  // namespace DARKLANE_NAMESPACE
