// Exact Poisson numbers by additivity: lambda = sum of tabulated parts + a remainder below 1/16.
// Each tabulated part is one alias-table draw; the remainder is almost always zero and costs no extra random number.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace poisson {

// xoshiro256++ (Blackman, Vigna), seeded by splitmix64.
class Random {
  public:
    explicit Random(std::uint64_t seed) {
        for (auto& word : state_) {
            seed += 0x9e3779b97f4a7c15ull;
            std::uint64_t z = seed;
            z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
            z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
            word = z ^ (z >> 31);
        }
    }
    std::uint64_t operator()() {
        const std::uint64_t sum = state_[0] + state_[3];
        const std::uint64_t result = ((sum << 23) | (sum >> 41)) + state_[0];
        const std::uint64_t t = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= t;
        state_[3] = (state_[3] << 45) | (state_[3] >> 19);
        return result;
    }

  private:
    std::uint64_t state_[4];
};

constexpr int kSteps = 16;         // fine levels per count
constexpr int kFine = 64 * kSteps; // fine levels below 64
constexpr int kCoarse = 10;        // 64, 128, ... 32768
constexpr float kMaximum = 65472.0f;

// Alias table of one mean: entry = threshold (20 bits) << 12 | alias (12 bits).
struct Level {
    std::uint32_t first, mask, base;
};

class Sampler {
  public:
    Sampler() {
        for (int k = 0; k < kFine; ++k) add(static_cast<double>(k) / kSteps);
        for (int j = 0; j < kCoarse; ++j) add(64.0 * (1 << j));
    }

    std::uint32_t operator()(float lambda, Random& random) const {
        if (!(lambda > 0.0f)) return 0;
        if (lambda > kMaximum) lambda = kMaximum;
        const float scaled = lambda * static_cast<float>(kSteps);
        const std::uint32_t whole = static_cast<std::uint32_t>(scaled);
        const float rest = (scaled - static_cast<float>(whole)) * (1.0f / kSteps);
        const std::uint64_t bits = random();
        std::uint32_t count = draw(levels_[whole & (kFine - 1)], static_cast<std::uint32_t>(bits));
        const std::uint32_t high = static_cast<std::uint32_t>(bits >> 32);
        const float any = rest * (1.0f - rest * (0.5f - rest * (1.0f / 6.0f - rest * (1.0f / 24.0f))));
        if (static_cast<float>(high) < any * 4294967296.0f) count += remainder(rest, high);
        for (std::uint32_t big = whole / kFine, j = kFine; big != 0; big >>= 1, ++j) {
            if (big & 1u) count += draw(levels_[j], static_cast<std::uint32_t>(random()));
        }
        return count < 65535u ? count : 65535u;
    }

  private:
    std::uint32_t draw(const Level& level, std::uint32_t bits) const {
        const std::uint32_t index = bits & level.mask;
        const std::uint32_t entry = entries_[level.first + index];
        return level.base + ((bits >> 12) < (entry >> 12) ? index : entry & 0xfffu);
    }

    // At least one event of a Poisson number of mean `rest`, by inversion of the same 32 bits.
    static std::uint32_t remainder(double rest, std::uint32_t high) {
        const double u = (static_cast<double>(high) + 0.5) / 4294967296.0;
        double term = std::exp(-rest), tail = 1.0 - term;
        std::uint32_t n = 1;
        while (n < 16) {
            term *= rest / n;
            tail -= term;
            if (u >= tail) break;
            ++n;
        }
        return n;
    }

    void add(double mean) {
        const double reach = 8.0 * std::sqrt(mean);
        const int lowest = mean > 64.0 ? static_cast<int>(mean - reach) : 0;
        const int needed = static_cast<int>(mean + reach + 14.0) - lowest;
        int size = 16;
        while (size < needed) size *= 2;
        std::vector<double> share(size);
        for (int i = 0; i < size; ++i) {
            const double n = lowest + i;
            share[i] = (mean > 0.0 ? std::exp(n * std::log(mean) - mean - std::lgamma(n + 1.0)) : (i == 0)) * size;
        }
        std::vector<int> small, large, alias(size, 0);
        for (int i = 0; i < size; ++i) (share[i] < 1.0 ? small : large).push_back(i);
        while (!small.empty() && !large.empty()) {
            const int s = small.back(), l = large.back();
            small.pop_back();
            alias[s] = l;
            share[l] -= 1.0 - share[s];
            if (share[l] < 1.0) {
                large.pop_back();
                small.push_back(l);
            }
        }
        for (int i : small) {
            alias[i] = i;
        }
        for (int i : large) {
            alias[i] = i;
        }
        levels_.push_back({static_cast<std::uint32_t>(entries_.size()), static_cast<std::uint32_t>(size - 1),
                           static_cast<std::uint32_t>(lowest)});
        for (int i = 0; i < size; ++i) {
            double limit = std::floor(share[i] * 1048576.0 + 0.5);
            limit = limit < 0.0 ? 0.0 : limit > 1048575.0 ? 1048575.0 : limit;
            entries_.push_back((static_cast<std::uint32_t>(limit) << 12) | static_cast<std::uint32_t>(alias[i]));
        }
    }

    std::vector<Level> levels_;
    std::vector<std::uint32_t> entries_;
};

}  // namespace poisson
