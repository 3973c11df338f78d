// Phase sums: every detector value is shared between the two grid columns that its line of sight falls between.
//
// Sums lie as [row block][grid column][group][bin][row in block], so that what one frame touches is close together.
#pragma once
#include "model.cuh"

namespace DARKLANE_NAMESPACE {

constexpr int DETECTOR_COLUMNS = 128;
constexpr int ROW_BLOCK = 16;
constexpr int PHASES = 2 * GROUPS;  // group and bin

// Adds `value`, seen at grid column `lower` + `fraction`, to the sums of one group, bin and row (or lanes of rows), which
// lie `stride` floats apart from one grid column to the next. Parts outside the window are dropped.
template <class F, class Load, class Store>
DARKLANE_FN void deposit(F value, int lower, float fraction, int capacity, float* sums, int stride, Load load, Store store) {
    if (lower >= 0 && lower < capacity) {
        float* at = sums + static_cast<long long>(lower) * stride;
        store(at, load(at) + value * F(1.0f - fraction));
    }
    if (lower >= -1 && lower + 1 < capacity) {
        float* at = sums + static_cast<long long>(lower + 1) * stride;
        store(at, load(at) + value * F(fraction));
    }
}

}  // namespace DARKLANE_NAMESPACE
