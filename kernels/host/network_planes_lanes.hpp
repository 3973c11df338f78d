// The input of the networks on the processor, SIMD lanes over pixels: one pass over memory, plane by plane, because planes lie
// a multiple of the page size apart and would push each other out of the caches.
#pragma once
#include "images_lanes.hpp"
#include "logarithm.hpp"
#include "network_planes.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace DARKLANE_NAMESPACE {

constexpr long PLANES = 17;
// Floats ahead of those in work that are asked for, past the outer caches, as they are read once: of a slab, the rows follow
// each other in memory.
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

// Which of LANES pixels can be used.
#if DARKLANE_LANES == 16 && defined(__AVX512F__)
typedef __mmask16 Good;
DARKLANE_FN Good good_of(unsigned set) { return static_cast<Good>(set); }
DARKLANE_FN Lanes where(Good good, Lanes x) { return (FloatVector)_mm512_maskz_mov_ps(good, (__m512)x.v); }
// Their values, 0 for the others: no memory is touched for those.
DARKLANE_FN Lanes take(const float* from, Good good, long) { return (FloatVector)_mm512_maskz_loadu_ps(good, from); }
#else
typedef Mask Good;
DARKLANE_FN Good good_of(unsigned set) {
    IntVector lane;
    for (int i = 0; i < LANES; ++i) lane[i] = 1 << i;
    return {(lane & static_cast<int>(set)) != 0};
}
DARKLANE_FN Lanes where(Good good, Lanes x) { return select(good, x, Lanes(0.0f)); }
DARKLANE_FN Lanes take(const float* from, Good good, long count) {
    if (count >= LANES) return where(good, load(from));
    return count > 0 ? where(good, load_some(from, count)) : Lanes(0.0f);
}
#endif

template <bool WHOLE> DARKLANE_FN void put(float* to, Lanes x, long count) {
    if (WHOLE) {
        stream(to, x);
    } else if (count >= LANES) {
        store(to, x);
    } else {
        store_some(to, x, count);
    }
}

DARKLANE_FN long at_line(const long (&stride)[3], long channel, long bin, long row) {
    return channel * stride[0] + bin * stride[1] + row * stride[2];
}

// LANES pixels of a row: where they lie in a plane of values, of 1-σ and of what is made, how many there are, and which of
// them have none of the flags.
struct Vector {
    long value, error, to;
    int count;
    unsigned good;
};

template <bool WHOLE> struct Planes {
    const darklane_host::NetworkPlanesJob job;
    std::vector<Vector> vectors;  // of all rows: one loop, because a row of a slab is too short for one

    // Values and 1-σ of one channel and bin; whether a pixel without a flag is no number.
    template <bool LOGARITHM> bool pair(long channel, long bin) const {
        const Lanes least(job.limits[2 * channel]), most(job.limits[2 * channel + 1]), zero(0.0f), floor(job.floor);
        const float* values = job.images + channel * job.image_stride[0] + bin * job.image_stride[1];
        const float* errors = job.sigma + channel * job.sigma_stride[0] + bin * job.sigma_stride[1];
        float *to = line(2 * (2 * channel + bin), 0), *to_error = to + job.plane_stride[0];
        Lanes strange = zero;  // NaN once something was not finite
        for (const Vector& vector : vectors) {
            __builtin_prefetch(values + vector.value + AHEAD, 0, 0);
            __builtin_prefetch(errors + vector.error + AHEAD, 0, 0);
            const Good good = good_of(vector.good);
            Lanes value = take(values + vector.value, good, vector.count);
            Lanes error = take(errors + vector.error, good, vector.count);
            strange = strange + value * zero + error * zero;
            if (LOGARITHM) {
                const Lanes linear = maximum(value, floor);
                error = Lanes(error.v / linear.v);  // rounded as NumPy does
                value = zero - natural_logarithm(linear);
            }
            put<WHOLE>(to + vector.to, where(good, clamp(value, least, most)), vector.count);
            put<WHOLE>(to_error + vector.to, clamp(error, zero, most), vector.count);
        }
        return bits(strange == strange) != bits(zero == zero);
    }

    // 1 where a pixel has none of the flags.
    void valid() {
        const Lanes one(1.0f);
        const long end = WHOLE ? job.wide : job.columns;
        vectors.reserve(static_cast<std::size_t>(job.rows * ((end + LANES - 1) / LANES)));
        for (long row = 0; row < job.rows; ++row) {
            const std::uint16_t *low = job.flags + row * job.flag_stride[1], *high = low + job.flag_stride[0];
            float* to = line(PLANES - 1, row);
            for (long at = 0; at < end; at += LANES) {
                const int count = static_cast<int>(std::clamp(job.columns - at, 0L, long(LANES)));
                unsigned good = bits(unflagged(low + at, high + at, job.unusable, count));
                if (count < LANES) good &= (1u << count) - 1;
                put<WHOLE>(to + at, where(good_of(good), one), count);
                vectors.push_back({row * job.image_stride[2] + at, row * job.sigma_stride[2] + at,
                                   row * job.plane_stride[1] + at, count, good});
            }
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

    // Columns of the planes that no image has.
    void pad() const {
        for (long plane = 0; plane < PLANES; ++plane)
            for (long row = 0; row < job.rows; ++row) {
                for (long column = job.columns; column < job.wide; ++column) line(plane, row)[column] = 0.0f;
            }
    }

    void fill() {
        valid();
        bool strange = false;
        for (long channel = 0; channel < 4; ++channel)
            for (long bin = 0; bin < 2; ++bin)
                strange |= job.logarithmic[channel] ? pair<true>(channel, bin) : pair<false>(channel, bin);
#if defined(__x86_64__)
        _mm_sfence();  // whoever is told that the planes are there sees them
#endif
        if (strange) clear();
        if (!WHOLE) pad();
    }
};

inline void network_planes(const darklane_host::NetworkPlanesJob& job) {
    const auto whole = [](long floats) { return floats % LANES == 0; };
    if (reinterpret_cast<std::uintptr_t>(job.planes) % (4 * LANES) == 0 && whole(job.plane_stride[0]) &&
        whole(job.plane_stride[1]) && whole(job.wide)) {
        Planes<true>{job, {}}.fill();
    } else {
        Planes<false>{job, {}}.fill();
    }
}

}  // namespace DARKLANE_NAMESPACE
