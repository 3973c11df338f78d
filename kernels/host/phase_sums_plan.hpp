// Where the values of a batch of frames go, worked out once for all rows: cells, weights and targets.
//
// A vector is LANES neighbouring columns, as they lie in a frame. A quad, four columns of the four groups, has its own
// origin on the grid, which is the vector's origin moved by the distance of the quads. Seen from there all lanes of a
// vector lie within a few cells of each other, at all times: in frame n in the cells first[n] to first[n] + TAPS − 1.
#pragma once
#include "isa.hpp"
#include "phase_sums.cuh"
#include "simd.hpp"

namespace DARKLANE_NAMESPACE {

constexpr int QUADS = LANES / GROUPS;
constexpr int VECTORS = DETECTOR_COLUMNS / LANES;
constexpr int BATCH = 32;    // frames that go through together
constexpr int MAX_TAPS = 8;  // lanes of a vector further apart than this are added one by one

struct PhaseSumsPlan {
    int frames, taps;  // taps: 3, 4 or 8; 0 when no plan fits
    bool tight;        // the quads of a vector go to neighbouring grid columns, backwards
    int origin[VECTORS][QUADS];
    int first[VECTORS][BATCH];
    alignas(64) float weight[VECTORS * BATCH * MAX_TAPS * LANES];  // [vector][frame][tap][lane]

    const float* weights(int v) const { return weight + static_cast<long>(v) * frames * taps * LANES; }
};

// Distance on the grid from the first quad of the vector that begins at `lower`, to the nearest whole number.
inline int quad_origin(const int* lower, const float* fraction, int quad) {
    float apart = 0.0f;
    for (int g = 0; g < GROUPS; ++g) {
        const int c = GROUPS * quad + g;
        apart += (static_cast<float>(lower[c] - lower[g]) + (fraction[c] - fraction[g])) / GROUPS;
    }
    return static_cast<int>(apart + (apart < 0.0f ? -0.5f : 0.5f));
}

// Cells of each vector; returns the most that one reaches over.
inline int place_cells(const int* lower, const float* fraction, PhaseSumsPlan& plan) {
    int reach = 0;
    plan.tight = true;
    for (int v = 0; v < VECTORS; ++v) {
        const int column = v * LANES;
        for (int q = 0; q < QUADS; ++q) {
            plan.origin[v][q] = quad_origin(lower + column, fraction + column, q);
            plan.tight &= plan.origin[v][q] == -q;
        }
        for (int n = 0; n < plan.frames; ++n) {
            const int* at = lower + n * DETECTOR_COLUMNS + column;
            int least = at[0] - plan.origin[v][0], most = least;
            for (int i = 1; i < LANES; ++i) {
                const int cell = at[i] - plan.origin[v][i / GROUPS];
                least = cell < least ? cell : least;
                most = cell > most ? cell : most;
            }
            plan.first[v][n] = least;
            reach = most - least + 2 > reach ? most - least + 2 : reach;
        }
    }
    return reach;
}

// `lower` and `fraction`: (frames, 128) of at most BATCH frames.
inline void make_plan(const int* lower, const float* fraction, int frames, PhaseSumsPlan& plan) {
    plan.frames = frames;
    const int reach = place_cells(lower, fraction, plan);
    plan.taps = reach <= 3 ? 3 : reach <= 4 ? 4 : reach <= MAX_TAPS ? MAX_TAPS : 0;
    float* weight = plan.weight;
    __builtin_memset(weight, 0, sizeof(float) * VECTORS * frames * plan.taps * LANES);
    if (plan.taps == 0) return;
    for (int v = 0; v < VECTORS; ++v) {
        for (int n = 0; n < frames; ++n, weight += plan.taps * LANES) {
            for (int i = 0; i < LANES; ++i) {
                const int at = n * DETECTOR_COLUMNS + v * LANES + i;
                const int tap = lower[at] - plan.origin[v][i / GROUPS] - plan.first[v][n];
                weight[tap * LANES + i] = 1.0f - fraction[at];
                weight[(tap + 1) * LANES + i] = fraction[at];
            }
        }
    }
}

}  // namespace DARKLANE_NAMESPACE
