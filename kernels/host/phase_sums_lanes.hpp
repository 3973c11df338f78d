// Phase sums on the processor: SIMD lanes over neighbouring columns, as they lie in the frames.
//
// The belt carries a column from one grid column to the next once in a few frames. Until then its values add up in
// registers, and only what has left a grid column goes to memory. So a frame costs little more than reading it.
// Sums lie as [bin][row][grid column, the last one first][group]: the four columns of a quad go to one place, and the quads
// of a vector, where they are one grid column apart, side by side.
#pragma once
#include "phase_sums_pack.hpp"
#include "phase_sums_plan.hpp"

#include <memory>

namespace DARKLANE_NAMESPACE {

typedef unsigned short ShortVector __attribute__((vector_size(2 * LANES)));
typedef float Quad __attribute__((vector_size(4 * GROUPS)));

DARKLANE_FN FloatVector widen(const std::uint16_t* from) {
    ShortVector v;
    __builtin_memcpy(&v, from, sizeof v);
#if DARKLANE_LANES == 16 && defined(__AVX512F__)
    return (FloatVector)_mm512_cvtepi32_ps(_mm512_cvtepu16_epi32((__m256i)v));
#elif DARKLANE_LANES == 8 && defined(__AVX2__)
    return (FloatVector)_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32((__m128i)v));
#else
    return __builtin_convertvector(__builtin_convertvector(v, IntVector), FloatVector);
#endif
}

// Adds one cell of a vector of columns to the sums of ROWS rows.
template <int ROWS> class Target {
  public:
    Target(const PhaseSumsPlan& plan, int v, const std::uint8_t* good, int capacity, float* sums)
        : origin_(plan.origin[v]), tight_(plan.tight), capacity_(capacity), sums_(sums) {
        for (int r = 0; r < ROWS; ++r) {
            for (int i = 0; i < LANES; ++i) keep_[r][i] = good[r * DETECTOR_COLUMNS + i] != 0 ? 1.0f : 0.0f;
        }
    }

    DARKLANE_FN void add(const FloatVector (&sum)[ROWS], int cell) {
        if (tight_ && cell >= QUADS - 1 && cell < capacity_) {
            DARKLANE_UNROLL for (int r = 0; r < ROWS; ++r) {
                float* at = place(r, cell);
                store(at, load(at) + Lanes(sum[r]) * load(keep_[r]));
            }
        } else {
            DARKLANE_UNROLL for (int r = 0; r < ROWS; ++r) store(sum_[r], sum[r]);
            add_quads(cell);
        }
    }

  private:
    DARKLANE_FN float* place(int r, int j) const { return sums_ + (static_cast<long>(r + 1) * capacity_ - 1 - j) * GROUPS; }

    // In memory, because `sum` has to stay in registers.
    __attribute__((noinline)) void add_quads(int cell) {
        for (int r = 0; r < ROWS; ++r) {
            const FloatVector kept = load(sum_[r]).v * load(keep_[r]).v;
            Quad part[QUADS];
            __builtin_memcpy(part, &kept, sizeof part);
            for (int q = 0; q < QUADS; ++q) {
                const int j = origin_[q] + cell;
                if (j < 0 || j >= capacity_) continue;
                Quad total;
                __builtin_memcpy(&total, place(r, j), sizeof total);
                total += part[q];
                __builtin_memcpy(place(r, j), &total, sizeof total);
            }
        }
    }

    const int* origin_;
    bool tight_;
    int capacity_;
    float* sums_;
    alignas(64) float keep_[ROWS][LANES];
    alignas(64) float sum_[ROWS][LANES];
};

// All frames of the plan for ROWS rows of a bin. `packed` as Packer leaves it.
template <int TAPS, int ROWS>
void phase_sums_rows(const PhaseSumsPlan& plan, const std::uint16_t* packed, const std::uint8_t* good, int capacity,
                     float* sums, Packer& packer) {
    Packer next = packer;
    for (int v = 0; v < VECTORS; ++v) {
        const std::uint16_t* from = packed + v * LANES / SPAN * plan.frames * TOGETHER * SPAN + v * LANES % SPAN;
        const float* weight = plan.weights(v);
        FloatVector sum[TAPS][ROWS] = {};
        Target<ROWS> target(plan, v, good + v * LANES, capacity, sums);
        int cell = plan.first[v][0];
        for (int n = 0; n < plan.frames; ++n, from += TOGETHER * SPAN, weight += TAPS * LANES) {
            const int now = plan.first[v][n];
            while (__builtin_expect(cell != now, 0)) {
                const bool far = now < cell || now - cell > TAPS;  // nothing that is here stays
                target.add(sum[0], cell);
                if (far) {
                    DARKLANE_UNROLL for (int t = 1; t < TAPS; ++t) target.add(sum[t], cell + t);
                }
                DARKLANE_UNROLL for (int t = 0; t < TAPS; ++t) {
                    DARKLANE_UNROLL for (int r = 0; r < ROWS; ++r) {
                        sum[t][r] = far || t + 1 == TAPS ? FloatVector{} : sum[t + 1 < TAPS ? t + 1 : 0][r];
                    }
                }
                cell = far ? now : cell + 1;
            }
            DARKLANE_UNROLL for (int r = 0; r < ROWS; ++r) {
                const FloatVector x = widen(from + r * SPAN);
                DARKLANE_UNROLL for (int t = 0; t < TAPS; ++t) sum[t][r] += x * load(weight + t * LANES).v;
            }
            DARKLANE_UNROLL for (int i = 0; i < ROWS * LANES / SPAN; ++i) next.move();
        }
        DARKLANE_UNROLL for (int t = 0; t < TAPS; ++t) target.add(sum[t], cell + t);
    }
    packer = next;
}

// One value after the other, wherever it goes.
inline void phase_sums_singly(const darklane_host::PhaseSumsJob& job, const std::uint16_t* frames, const int* lower,
                              const float* fraction, int count, int bin, long row) {
    const long line = (bin * job.rows + row) * DETECTOR_COLUMNS;
    float* sums = job.sums + ((bin * job.rows + row + 1) * job.capacity - 1) * GROUPS;
    for (int n = 0; n < count; ++n) {
        const std::uint16_t* from = frames + n * 2 * job.rows * DETECTOR_COLUMNS + line;
        for (int c = 0; c < DETECTOR_COLUMNS; ++c) {
            if (job.good[line + c] == 0) continue;
            const int place = n * DETECTOR_COLUMNS + c;
            deposit(
                static_cast<float>(from[c]), lower[place], fraction[place], job.capacity, sums + c % GROUPS, -GROUPS,
                [](const float* at) { return *at; }, [](float* at, float x) { *at = x; });
        }
    }
}

template <int TAPS, int ROWS>
void phase_sums_strip(const darklane_host::PhaseSumsJob& job, const PhaseSumsPlan& plan, const CacheLine* packed, int bin,
                      long first, int rows, Packer& next) {
    const long stride = static_cast<long>(job.capacity) * GROUPS;
    const std::uint8_t* good = job.good + (bin * job.rows + first) * DETECTOR_COLUMNS;
    float* sums = job.sums + (bin * job.rows + first) * stride;
    const auto at = [&](int r) {
        return (packed + static_cast<long>(r / TOGETHER) * SPANS * plan.frames * TOGETHER + r % TOGETHER)->of;
    };
    int r = 0;
    for (; r + ROWS <= rows; r += ROWS) {
        phase_sums_rows<TAPS, ROWS>(plan, at(r), good + r * DETECTOR_COLUMNS, job.capacity, sums + r * stride, next);
    }
    for (; ROWS > 1 && r < rows; ++r) {
        phase_sums_rows<TAPS, 1>(plan, at(r), good + r * DETECTOR_COLUMNS, job.capacity, sums + r * stride, next);
    }
}

// Strips `begin` to `end` (those of the first bin, then those of the second) of a batch of frames.
inline void phase_sums_strips(const darklane_host::PhaseSumsJob& job, const PhaseSumsPlan& plan, const std::uint16_t* frames,
                              long begin, long end, CacheLine* buffer) {
    const long strips = (job.rows + STRIP - 1) / STRIP;
    const Places places(plan.frames);
    const long frame = 2 * job.rows * SPANS;
    CacheLine *present = buffer, *next = buffer + BATCH * STRIP * SPANS;
    const auto rows_of = [&](long i) {
        const long left = job.rows - i % strips * STRIP;
        return static_cast<int>(left < STRIP ? left : STRIP);
    };
    const auto packing = [&](long i, CacheLine* to) {
        const std::uint16_t* from = frames + (i / strips * job.rows + i % strips * STRIP) * DETECTOR_COLUMNS;
        const long lines = i < end ? rows_of(i) * SPANS : 0;
        return Packer{reinterpret_cast<const CacheLine*>(from), to, places.of, frame, lines, 0, lines * plan.frames};
    };
    Packer packer = packing(begin, present);
    for (long i = begin; i < end; ++i) {
        packer.finish();
        packer = packing(i + 1, next);
        const int bin = static_cast<int>(i / strips), rows = rows_of(i);
        const long first = i % strips * STRIP;
        if (plan.taps == 3) phase_sums_strip<3, 4>(job, plan, present, bin, first, rows, packer);
        if (plan.taps == 4) phase_sums_strip<4, 2>(job, plan, present, bin, first, rows, packer);
        if (plan.taps == MAX_TAPS) phase_sums_strip<MAX_TAPS, 1>(job, plan, present, bin, first, rows, packer);
        CacheLine* const free = present;
        present = next;
        next = free;
    }
}

inline void phase_sums(const darklane_host::PhaseSumsJob& job) {
    const long strips = 2 * ((job.rows + STRIP - 1) / STRIP);
    const long threads = job.threads < 1 ? 1 : job.threads < strips ? job.threads : strips;
    constexpr long own = 2 * BATCH * STRIP * SPANS;
    // Kept: the system would map and clear them at every call.
    static thread_local const std::unique_ptr<PhaseSumsPlan> plan(new PhaseSumsPlan);
    static thread_local std::unique_ptr<CacheLine[]> kept;
    static thread_local long size = 0;
    if (size < own * threads) {
        size = own * threads;
        kept.reset(new CacheLine[static_cast<unsigned long>(size)]);
    }
    CacheLine* const buffers = kept.get();
    const PhaseSumsPlan& made = *plan;
    for (long start = 0; start < job.frames; start += BATCH) {
        const int count = static_cast<int>(job.frames - start < BATCH ? job.frames - start : BATCH);
        const std::uint16_t* frames = job.values + start * 2 * job.rows * DETECTOR_COLUMNS;
        const int* lower = job.lower + start * DETECTOR_COLUMNS;
        const float* fraction = job.fraction + start * DETECTOR_COLUMNS;
        make_plan(lower, fraction, count, *plan);
        const auto work = [&](long t) {
            if (made.taps != 0) {
                phase_sums_strips(job, made, frames, strips * t / threads, strips * (t + 1) / threads, buffers + own * t);
                return;
            }
            for (long line = 2 * job.rows * t / threads; line < 2 * job.rows * (t + 1) / threads; ++line) {
                phase_sums_singly(job, frames, lower, fraction, count, static_cast<int>(line / job.rows), line % job.rows);
            }
        };
        if (threads == 1) {
            work(0);
        } else {
#pragma omp parallel for num_threads(threads) schedule(static)
            for (long t = 0; t < threads; ++t) work(t);
        }
    }
}

}  // namespace DARKLANE_NAMESPACE
