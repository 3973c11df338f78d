// The input of the networks on the processor, SIMD lanes over pixels: one pass over memory, plane by plane, because planes lie
// a multiple of the page size apart and would push each other out of the caches.
#pragma once
#include "images_lanes.hpp"
#include "network_planes.hpp"

#include <algorithm>
#include <cmath>

namespace DARKLANE_NAMESPACE {

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

struct Planes {
    const darklane_host::NetworkPlanesJob& job;
    bool aligned;

    // Calls pixels(row, column, count) for all of them, LANES at a time; the last ones of a row may be done twice.
    template <class Pixels> void each(const Pixels& pixels) const {
        const long last = std::max(job.columns - LANES, 0L), count = std::min(job.columns, long(LANES));
        for (long row = 0; row < job.rows; ++row)
            for (long at = 0; at < job.columns; at += LANES) pixels(row, std::min(at, last), count);
    }

    Mask usable(long row, long column, long count) const {
        const std::uint16_t* low = job.flags + row * job.flag_stride[1] + column;
        return unflagged(low, low + job.flag_stride[0], job.unusable, count);
    }

    void put(long plane, long row, long column, Lanes x, long count) const {
        float* to = job.planes + plane * job.plane_stride[0] + row * job.plane_stride[1] + column;
        if (aligned) {
            stream(to, x);
        } else if (count >= LANES) {
            store(to, x);
        } else {
            store_some(to, x, count);
        }
    }

    // Values and 1-σ of one channel and bin; whether a pixel without a flag is no number.
    template <bool LOGARITHM> bool pair(long channel, long bin, const float* logarithm) const {
        const float* values = job.images + channel * job.image_stride[0] + bin * job.image_stride[1];
        const float* errors = job.sigma + channel * job.sigma_stride[0] + bin * job.sigma_stride[1];
        const Lanes least(job.limits[2 * channel]), most(job.limits[2 * channel + 1]), zero(0.0f);
        const long plane = 2 * (2 * channel + bin);
        Lanes strange = zero;  // NaN once something was not finite
        each([&](long row, long column, long count) {
            const auto take = [&](const float* from) { return count >= LANES ? load(from) : load_some(from, count); };
            const Mask good = usable(row, column, count);
            Lanes value = take(values + row * job.image_stride[2] + column);
            Lanes error = take(errors + row * job.sigma_stride[2] + column);
            strange = strange + select(good, value * zero + error * zero, zero);
            if (LOGARITHM) {
                const Lanes linear = maximum(value, Lanes(job.floor));
                value = zero - take(logarithm + row * job.columns + column);
                error = Lanes(error.v / linear.v);  // rounded as NumPy does
            }
            put(plane, row, column, select(good, clamp(value, least, most), zero), count);
            put(plane + 1, row, column, select(good, clamp(error, zero, most), zero), count);
        });
        return bits(strange == strange) != bits(zero == zero);
    }

    // All planes of pixels of which something is not finite are zero; no flag said so.
    void clear() const {
        for (long row = 0; row < job.rows; ++row)
            for (long column = 0; column < job.columns; ++column) {
                bool finite = true;
                for (long k = 0; k < 8; ++k) {
                    const long c = k / 2, b = k % 2;
                    const float* value = job.images + c * job.image_stride[0] + b * job.image_stride[1];
                    const float* error = job.sigma + c * job.sigma_stride[0] + b * job.sigma_stride[1];
                    finite = finite && std::isfinite(value[row * job.image_stride[2] + column]) &&
                             std::isfinite(error[row * job.sigma_stride[2] + column]);
                }
                float* to = job.planes + row * job.plane_stride[1] + column;
                for (long plane = 0; plane < 17 && !finite; ++plane) to[plane * job.plane_stride[0]] = 0.0f;
            }
    }
};

inline void network_planes(const darklane_host::NetworkPlanesJob& job) {
    const auto whole = [](long floats) { return floats % LANES == 0; };
    const bool aligned = reinterpret_cast<std::uintptr_t>(job.planes) % (4 * LANES) == 0 && whole(job.plane_stride[0]) &&
                         whole(job.plane_stride[1]) && whole(job.columns);
    const Planes planes{job, aligned};
    const float* logarithm = job.logarithms;
    bool strange = false;
    for (long channel = 0; channel < 4; ++channel)
        for (long bin = 0; bin < 2; ++bin) {
            if (job.logarithmic[channel]) {
                strange |= planes.pair<true>(channel, bin, logarithm);
                logarithm += job.rows * job.columns;
            } else {
                strange |= planes.pair<false>(channel, bin, nullptr);
            }
        }
    const Lanes zero(0.0f), one(1.0f);
    planes.each([&](long row, long column, long count) {
        planes.put(16, row, column, select(planes.usable(row, column, count), one, zero), count);
    });
#if defined(__x86_64__)
    _mm_sfence();  // whoever is told that the planes are there sees them
#endif
    if (strange) planes.clear();
}

}  // namespace DARKLANE_NAMESPACE
