// Where the values of one frame go, worked out once for all its rows.
//
// Four neighbouring columns, a quad, see the four groups. On the usual grid the next quad lies one grid column further
// back. So a row of sums that lies backwards, [grid column, the last one first][group], receives a frame's row as it is,
// shifted by a few quads and weighted: sums[place + i] += Σ_t weight[t][i] values[i − 4 t].
#pragma once
#include "isa.hpp"
#include "phase_sums.cuh"
#include "simd.hpp"

namespace DARKLANE_NAMESPACE {

constexpr int MAX_TAPS = 6;  // quads that lie less regularly are added value by value
constexpr int VECTORS = DETECTOR_COLUMNS / LANES;

// Vectors of sums that a row of values with so many taps reaches.
constexpr int reached(int taps) { return VECTORS + (GROUPS * (taps - 1) + LANES - 1) / LANES; }

struct PhaseSumsPlan {
    int taps;    // 3 to 6; 0 where nothing of the frame falls into the window, −1 where no plan fits
    long place;  // of weight[t][0] in a row of sums
    alignas(64) float weight[MAX_TAPS][reached(MAX_TAPS) * LANES];
};

// `lower` and `fraction` (128) of one frame; a row of sums holds `cells` grid columns, number 0 at capacity − 1.
inline void make_plan(const int* lower, const float* fraction, int capacity, int cells, PhaseSumsPlan& plan) {
    int least = 0, most = 0;
    bool touches = false;
    for (int c = 0; c < DETECTOR_COLUMNS; ++c) {
        const int place = capacity - 1 - lower[c] - c / GROUPS;
        least = c == 0 || place < least ? place : least;
        most = c == 0 || place > most ? place : most;
        touches |= lower[c] >= -1 && lower[c] < capacity;
    }
    least -= 1;  // the other grid column that a value is shared with
    const int taps = most - least + 1;
    plan.taps = !touches ? 0 : taps < 3 ? 3 : taps <= MAX_TAPS ? taps : -1;
    if (plan.taps <= 0) return;
    plan.place = static_cast<long>(least) * GROUPS;
    if (least < 0 || plan.place + reached(plan.taps) * LANES > static_cast<long>(cells) * GROUPS) {
        plan.taps = -1;
        return;
    }
    __builtin_memset(plan.weight, 0, sizeof plan.weight[0] * plan.taps);
    for (int c = 0; c < DETECTOR_COLUMNS; ++c) {
        const int tap = capacity - 1 - lower[c] - c / GROUPS - least;
        plan.weight[tap][c + GROUPS * tap] = 1.0f - fraction[c];
        plan.weight[tap - 1][c + GROUPS * (tap - 1)] = fraction[c];
    }
}

}  // namespace DARKLANE_NAMESPACE
