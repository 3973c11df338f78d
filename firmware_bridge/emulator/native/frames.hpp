// One exposure: gather the expected counts that each column sees, apply gains, draw counts.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "clones.hpp"
#include "poisson.hpp"

namespace frames {

constexpr std::size_t kGroups = 4;
constexpr std::size_t kBlock = 256;          // rows gathered together: long enough for the prefetcher
constexpr std::size_t kStride = kBlock + 16;  // padded, so that a row of all columns does not fight for cache sets

struct Segment {
    const float* expected;  // (2, n_u, 4, rows)
    std::size_t n_u;
    double first_um, du_um;
};

constexpr std::size_t kAhead = 2;             // columns

// A weighted sum of grid lines; offset in floats within one bin of `source`.
struct Term {
    const float* source;
    std::size_t bin_stride;
    float weight;
};

// Integral of the unit hat function from -infinity to x.
inline double hat_integral(double x) {
    if (x <= -1.0) return 0.0;
    if (x <= 0.0) return 0.5 * (1.0 + x) * (1.0 + x);
    if (x <= 1.0) return 1.0 - 0.5 * (1.0 - x) * (1.0 - x);
    return 1.0;
}

// Terms of the mean of the linear interpolant over [a, b]; what is left of the weight is air.
inline void gather_terms(const std::vector<Segment>& segments, const float* air, std::size_t rows, std::size_t group, double a,
                         double b, float scale, std::vector<Term>& terms) {
    terms.clear();
    double left = 1.0;
    for (const Segment& segment : segments) {
        const double x0 = (a - segment.first_um) / segment.du_um, x1 = (b - segment.first_um) / segment.du_um;
        const double last = static_cast<double>(segment.n_u) - 1.0;
        if (x1 < -1.0 || x0 > last + 1.0) continue;
        const long lo = std::max(0L, static_cast<long>(std::floor(x0)));
        const long hi = std::min(static_cast<long>(segment.n_u) - 1L, static_cast<long>(std::floor(x1)) + 1L);
        for (long k = lo; k <= hi; ++k) {
            const double y0 = x0 - static_cast<double>(k), y1 = x1 - static_cast<double>(k);
            const double weight = y1 - y0 > 1e-6 ? (hat_integral(y1) - hat_integral(y0)) / (y1 - y0)
                                                 : std::max(0.0, 1.0 - std::abs(y0));
            if (weight <= 0.0) continue;
            left -= weight;
            terms.push_back({segment.expected + (static_cast<std::size_t>(k) * kGroups + group) * rows,
                             segment.n_u * kGroups * rows, static_cast<float>(weight) * scale});
        }
    }
    if (left > 1e-9) terms.push_back({air + group * rows, kGroups * rows, static_cast<float>(left) * scale});
}

DARKLANE_CLONES inline void add_line(const float* __restrict source, float weight, float* __restrict target, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) target[i] += weight * source[i];
}

inline void fetch(const float* source, std::size_t n) {
    constexpr std::size_t kCacheLine = 16;  // floats
    for (std::size_t i = 0; i < n; i += kCacheLine) __builtin_prefetch(source + i);
}

class Renderer {
  public:
    Renderer(std::size_t rows, std::vector<double> offsets_um, std::vector<float> gain, std::vector<std::uint32_t> hot,
             float hot_counts, std::uint64_t seed)
        : rows_(rows), offsets_(std::move(offsets_um)), gain_(std::move(gain)), hot_(std::move(hot)),
          hot_counts_(hot_counts), random_(seed) {}

    void frame(double start_um, double stop_um, const std::vector<Segment>& segments, const float* air, float scale,
               std::uint16_t* out) {
        const std::size_t columns = offsets_.size();
        terms_.resize(columns);
        for (std::size_t c = 0; c < columns; ++c) {
            const double a = start_um - offsets_[c], b = stop_um - offsets_[c];
            gather_terms(segments, air, rows_, c % kGroups, std::min(a, b), std::max(a, b), scale, terms_[c]);
        }
        lines_.resize(columns * kStride);
        poisson::Random random = random_;
        for (std::size_t bin = 0; bin < 2; ++bin) {
            for (std::size_t r0 = 0; r0 < rows_; r0 += kBlock) {
                const std::size_t n = std::min(kBlock, rows_ - r0);
                std::fill(lines_.begin(), lines_.end(), 0.0f);
                for (std::size_t c = 0; c < columns; ++c) {
                    // Neighbouring columns lie far apart in memory: ask for the next lines in time.
                    if (c + kAhead < columns) {
                        for (const Term& term : terms_[c + kAhead]) fetch(term.source + bin * term.bin_stride + r0, n);
                    }
                    for (const Term& term : terms_[c]) {
                        add_line(term.source + bin * term.bin_stride + r0, term.weight, &lines_[c * kStride], n);
                    }
                }
                for (std::size_t r = 0; r < n; ++r) {
                    const std::size_t base = (bin * rows_ + r0 + r) * columns;
                    for (std::size_t c = 0; c < columns; ++c) {
                        out[base + c] =
                            static_cast<std::uint16_t>(sampler_(lines_[c * kStride + r] * gain_[base + c], random));
                    }
                }
            }
        }
        for (const std::uint32_t index : hot_) out[index] = static_cast<std::uint16_t>(sampler_(hot_counts_, random));
        random_ = random;
    }

    std::size_t rows() const { return rows_; }
    std::size_t columns() const { return offsets_.size(); }

  private:
    std::size_t rows_;
    std::vector<double> offsets_;
    std::vector<float> gain_;
    std::vector<std::uint32_t> hot_;
    float hot_counts_;
    poisson::Random random_;
    poisson::Sampler sampler_;
    std::vector<std::vector<Term>> terms_;
    std::vector<float> lines_;
};

}  // namespace frames
