// Phase sums on the processor: SIMD lanes over neighbouring columns, as they lie in the frames.
//
// A row of a frame goes onto a row of sums like a filter of a few taps (phase_sums_plan.hpp). Frame by frame: a frame is read
// from its first byte to its last, as memory likes it, and the sums of a detector stay in the caches meanwhile.
#pragma once
#include "phase_sums_plan.hpp"

#include <memory>
#include <vector>

namespace DARKLANE_NAMESPACE {

constexpr int BATCH = 32;    // frames whose plans are kept
constexpr int TOGETHER = 2;  // rows that share the weights they load
// The caches are asked for what comes so many rows later. The sums of a row are too short for the processor to see by itself
// where the next ones lie. Past the last row it asks in vain, which does no harm.
constexpr int SUMS_AHEAD = 4, VALUES_AHEAD = 32;
constexpr int CACHE_LINE = 64;

typedef unsigned short ShortVector __attribute__((vector_size(2 * LANES)));
typedef short SignedShortVector __attribute__((vector_size(2 * LANES)));
typedef unsigned char ByteVector __attribute__((vector_size(LANES)));

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

// `x` moved up by T quads; x[0] are the latest LANES values, x[1] those before them, and so on.
template <int T, int N> DARKLANE_FN FloatVector moved(const FloatVector (&x)[N]) {
    constexpr int lanes = GROUPS * T, whole = lanes / LANES, rest = lanes % LANES;
    if constexpr (rest == 0) {
        return x[whole];
    } else {
        IntVector index;
        for (int i = 0; i < LANES; ++i) index[i] = LANES - rest + i;
        return __builtin_shuffle(x[whole + 1], x[whole], index);
    }
}

template <int TAPS, int COUNT, int N, int T = 0>
DARKLANE_FN void add_taps(const PhaseSumsPlan& plan, int k, const FloatVector (&x)[COUNT][N], FloatVector (&sum)[COUNT]) {
    const FloatVector weight = load(plan.weight[T] + k * LANES).v;
    DARKLANE_UNROLL for (int r = 0; r < COUNT; ++r) sum[r] += moved<T>(x[r]) * weight;
    if constexpr (T + 1 < TAPS) add_taps<TAPS, COUNT, N, T + 1>(plan, k, x, sum);
}

// COUNT rows of one frame: values `from` onto sums `to`, which begin at the plan's place.
template <int TAPS, int COUNT>
inline void add_rows(const PhaseSumsPlan& plan, const std::uint16_t* const* from, float* const* to) {
    constexpr int PAST = reached(TAPS) - VECTORS;  // vectors of values that the present sums still need
    FloatVector x[COUNT][PAST + 1] = {};
    for (int k = 0; k < reached(TAPS); ++k) {
        FloatVector sum[COUNT];
        DARKLANE_UNROLL for (int r = 0; r < COUNT; ++r) {
            DARKLANE_UNROLL for (int p = PAST; p > 0; --p) x[r][p] = x[r][p - 1];
            x[r][0] = k < VECTORS ? widen(from[r] + k * LANES) : FloatVector{};
            sum[r] = load(to[r] + k * LANES).v;
        }
        add_taps<TAPS, COUNT>(plan, k, x, sum);
        DARKLANE_UNROLL for (int r = 0; r < COUNT; ++r) store(to[r] + k * LANES, sum[r]);
    }
}

// Asks the caches for BYTES, to be read or also WRITTEN.
template <int WRITTEN, unsigned long BYTES> DARKLANE_FN void expect(const void* from) {
    const char* at = static_cast<const char*>(from);
    for (unsigned long i = 0; i < BYTES; i += CACHE_LINE) __builtin_prefetch(at + i, WRITTEN);
}

// One value after the other, wherever it goes. Parts outside the window are dropped.
inline void add_singly(const std::uint16_t* from, const int* lower, const float* fraction, int capacity, float* sums) {
    float* first = sums + static_cast<long>(capacity - 1) * GROUPS;  // of grid column 0
    for (int c = 0; c < DETECTOR_COLUMNS; ++c) {
        for (int cell = lower[c]; cell <= lower[c] + 1; ++cell) {
            if (cell < 0 || cell >= capacity) continue;
            float* own = first + c % GROUPS - static_cast<long>(cell) * GROUPS;
            *own = *own + static_cast<float>(from[c]) * share_of(lower[c], fraction[c], cell);
        }
    }
}

// The rows of both bins, one after the other: lines.
class Lines {
  public:
    Lines(const darklane_host::PhaseSumsJob& job, unsigned char* bad)
        : job_(job), bad_(bad), stride_(static_cast<long>(job.cells) * GROUPS) {}

    // Which lines have a bad pixel.
    void inspect(long begin, long end) const {
        for (long line = begin; line < end; ++line) {
            int bad = 0;
            if (job_.good != nullptr) {
                for (int c = 0; c < DETECTOR_COLUMNS; ++c) bad |= job_.good[line * DETECTOR_COLUMNS + c] == 0;
            }
            bad_[line] = bad != 0;
        }
    }

    void add(const PhaseSumsPlan& plan, const std::uint16_t* frame, const int* lower, const float* fraction, long begin,
             long end) const {
        if (plan.taps == 3) return add<3>(plan, frame, begin, end);
        if (plan.taps == 4) return add<4>(plan, frame, begin, end);
        if (plan.taps == 5) return add<5>(plan, frame, begin, end);
        if (plan.taps == 6) return add<6>(plan, frame, begin, end);
        if (plan.taps == 0) return;
        Kept kept;
        for (long line = begin; line < end; ++line) {
            add_singly(values(frame, line, kept), lower, fraction, job_.capacity, job_.sums + line * stride_);
        }
    }

  private:
    struct Kept {
        alignas(64) std::uint16_t of[DETECTOR_COLUMNS];
    };

    template <int TAPS> void add(const PhaseSumsPlan& plan, const std::uint16_t* frame, long begin, long end) const {
        long line = begin;
        for (; line + TOGETHER <= end; line += TOGETHER) add<TAPS, TOGETHER>(plan, frame, line);
        for (; line < end; ++line) add<TAPS, 1>(plan, frame, line);
    }

    template <int TAPS, int COUNT> DARKLANE_FN void add(const PhaseSumsPlan& plan, const std::uint16_t* frame, long line) const {
        const std::uint16_t* from[COUNT];
        float* to[COUNT];
        Kept kept[COUNT];
        for (int r = 0; r < COUNT; ++r) {
            from[r] = values(frame, line + r, kept[r]);
            to[r] = job_.sums + (line + r) * stride_ + plan.place;
            expect<1, reached(TAPS) * LANES * sizeof(float)>(to[r] + SUMS_AHEAD * stride_);
            expect<0, DETECTOR_COLUMNS * sizeof(std::uint16_t)>(frame + (line + r + VALUES_AHEAD) * DETECTOR_COLUMNS);
        }
        add_rows<TAPS, COUNT>(plan, from, to);
    }

    // A line of a frame, without its bad pixels.
    DARKLANE_FN const std::uint16_t* values(const std::uint16_t* frame, long line, Kept& kept) const {
        const std::uint16_t* from = frame + line * DETECTOR_COLUMNS;
        if (__builtin_expect(!bad_[line], 1)) return from;
        const std::uint8_t* good = job_.good + line * DETECTOR_COLUMNS;
        DARKLANE_UNROLL for (int c = 0; c < DETECTOR_COLUMNS; c += LANES) {
            ByteVector usable;
            ShortVector value;
            __builtin_memcpy(&usable, good + c, sizeof usable);
            __builtin_memcpy(&value, from + c, sizeof value);
            value &= (ShortVector)__builtin_convertvector(usable != 0, SignedShortVector);
            __builtin_memcpy(kept.of + c, &value, sizeof value);
        }
        return kept.of;
    }

    const darklane_host::PhaseSumsJob& job_;
    unsigned char* bad_;
    long stride_;
};

inline void phase_sums(const darklane_host::PhaseSumsJob& job) {
    const long lines = 2 * job.rows;
    const long threads = job.threads < 1 ? 1 : job.threads < lines ? job.threads : lines;
    static thread_local std::unique_ptr<PhaseSumsPlan[]> plans(new PhaseSumsPlan[BATCH]);
    static thread_local std::vector<unsigned char> bad;
    bad.resize(static_cast<unsigned long>(lines));
    const Lines work(job, bad.data());
    const PhaseSumsPlan* const made = plans.get();
    for (long start = 0; start < job.frames; start += BATCH) {
        const int count = static_cast<int>(job.frames - start < BATCH ? job.frames - start : BATCH);
        const int* lower = job.lower + start * DETECTOR_COLUMNS;
        const float* fraction = job.fraction + start * DETECTOR_COLUMNS;
        for (int n = 0; n < count; ++n) {
            make_plan(lower + n * DETECTOR_COLUMNS, fraction + n * DETECTOR_COLUMNS, job.capacity, job.cells, plans[n]);
        }
        const auto share = [&](long t) {
            const long begin = lines * t / threads, end = lines * (t + 1) / threads;
            if (start == 0) work.inspect(begin, end);
            for (int n = 0; n < count; ++n) {
                const int at = n * DETECTOR_COLUMNS;
                work.add(made[n], job.values + (start + n) * lines * DETECTOR_COLUMNS, lower + at, fraction + at, begin, end);
            }
        };
        if (threads == 1) {
            share(0);
        } else {
#pragma omp parallel for num_threads(threads) schedule(static)
            for (long t = 0; t < threads; ++t) share(t);
        }
    }
}

}  // namespace DARKLANE_NAMESPACE
