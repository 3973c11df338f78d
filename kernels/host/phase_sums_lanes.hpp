// Phase sums on the processor: SIMD lanes over rows. Frames have columns innermost, so each block of rows is transposed
// on the way; its sums stay in the first-level cache over all frames of a call.
#pragma once
#include "isa.hpp"
#include "phase_sums.cuh"
#include "simd.hpp"

namespace DARKLANE_NAMESPACE {

typedef unsigned short ShortVector __attribute__((vector_size(2 * LANES)));
typedef unsigned char ByteVector __attribute__((vector_size(LANES)));

// LANES × LANES floats from rows to columns.
DARKLANE_FN void transpose(FloatVector (&m)[LANES]) {
    IntVector low, high;
    for (int i = 0; i < LANES; ++i) {
        low[i] = i / 2 + (i % 2) * LANES;
        high[i] = low[i] + LANES / 2;
    }
    DARKLANE_UNROLL for (int stage = 1; stage < LANES; stage *= 2) {
        FloatVector next[LANES];
        for (int i = 0; i < LANES / 2; ++i) {
            next[2 * i] = __builtin_shuffle(m[i], m[i + LANES / 2], low);
            next[2 * i + 1] = __builtin_shuffle(m[i], m[i + LANES / 2], high);
        }
        for (int i = 0; i < LANES; ++i) m[i] = next[i];
    }
}

// Good values of `rows` rows of 128 columns, transposed to (128, ROW_BLOCK) floats; missing rows are zero.
inline void transpose_block(const std::uint16_t* values, const std::uint8_t* good, int rows, float* to) {
    for (int c = 0; c < DETECTOR_COLUMNS; c += LANES) {
        for (int r = 0; r < ROW_BLOCK; r += LANES) {
            FloatVector m[LANES];
            for (int i = 0; i < LANES; ++i) {
                if (r + i >= rows) {
                    m[i] = FloatVector{};
                    continue;
                }
                ShortVector v;
                ByteVector g;
                __builtin_memcpy(&v, values + (r + i) * DETECTOR_COLUMNS + c, sizeof v);
                __builtin_memcpy(&g, good + (r + i) * DETECTOR_COLUMNS + c, sizeof g);
                const IntVector wide = __builtin_convertvector(v, IntVector);
                const IntVector keep = __builtin_convertvector(g, IntVector) != 0;
                m[i] = __builtin_convertvector(wide & keep, FloatVector);
            }
            transpose(m);
            for (int i = 0; i < LANES; ++i) store(to + (c + i) * ROW_BLOCK + r, m[i]);
        }
    }
}

inline void phase_sums_block(const darklane_host::PhaseSumsJob& job, long block) {
    constexpr int stride = PHASES * ROW_BLOCK;
    alignas(64) float tile[DETECTOR_COLUMNS * ROW_BLOCK];
    const long first = block * ROW_BLOCK;
    const int rows = static_cast<int>(job.rows - first < ROW_BLOCK ? job.rows - first : ROW_BLOCK);
    float* sums = job.sums + block * job.capacity * stride;
    for (long n = 0; n < job.frames; ++n) {
        const int* lower = job.lower + n * DETECTOR_COLUMNS;
        const float* fraction = job.fraction + n * DETECTOR_COLUMNS;
        for (int bin = 0; bin < 2; ++bin) {
            const long line = (bin * job.rows + first) * DETECTOR_COLUMNS;
            transpose_block(job.values + n * 2 * job.rows * DETECTOR_COLUMNS + line, job.good + line, rows, tile);
            for (int c = 0; c < DETECTOR_COLUMNS; ++c) {
                float* own = sums + ((c % GROUPS) * 2 + bin) * ROW_BLOCK;
                for (int r = 0; r < ROW_BLOCK; r += LANES) {
                    deposit(
                        load(tile + c * ROW_BLOCK + r), lower[c], fraction[c], job.capacity, own + r, stride,
                        [](const float* at) { return load(at); }, [](float* at, Lanes x) { store(at, x); });
                }
            }
        }
    }
}

inline void phase_sums(const darklane_host::PhaseSumsJob& job) {
    const long blocks = (job.rows + ROW_BLOCK - 1) / ROW_BLOCK;
    if (job.threads <= 1) {
        for (long i = 0; i < blocks; ++i) phase_sums_block(job, i);
    } else {
#pragma omp parallel for num_threads(job.threads) schedule(static)
        for (long i = 0; i < blocks; ++i) phase_sums_block(job, i);
    }
}

}  // namespace DARKLANE_NAMESPACE
