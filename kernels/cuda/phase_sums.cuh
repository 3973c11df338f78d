// Phase sums: every detector value is shared between the two grid columns that its line of sight falls between.
#pragma once
#include "model.cuh"

namespace DARKLANE_NAMESPACE {

constexpr int DETECTOR_COLUMNS = 128;

// What grid column `cell` gets of a value that is seen at grid column `lower` + `fraction`.
DARKLANE_FN float share_of(int lower, float fraction, int cell) {
    return lower == cell ? 1.0f - fraction : lower == cell - 1 ? fraction : 0.0f;
}

}  // namespace DARKLANE_NAMESPACE
