// Entry point of the phase sums for a GPU: one thread for each group, bin and row, so no two threads share a sum and the
// order of additions is fixed.
#include "phase_sums.cuh"

using namespace DARKLANE_NAMESPACE;

// frames (n, 2, rows, 128); lower and fraction (n, 128): place of each column on the grid of the window; good (2, rows,
// 128); sums (row blocks, capacity, 4, 2, 16) are added to.
extern "C" __global__ void phase_sums(const unsigned short* frames, const int* lower, const float* fraction,
                                      const unsigned char* good, int n, int rows, int capacity, float* sums) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= PHASES * rows) return;
    const int row = i % rows, phase = i / rows, group = phase / 2, bin = phase % 2;
    const long long line = static_cast<long long>(bin * rows + row) * DETECTOR_COLUMNS;
    float* own = sums + (static_cast<long long>(row / ROW_BLOCK) * capacity * PHASES + phase) * ROW_BLOCK + row % ROW_BLOCK;
    for (int frame = 0; frame < n; ++frame) {
        const unsigned short* values = frames + static_cast<long long>(frame) * 2 * rows * DETECTOR_COLUMNS + line;
        for (int c = group; c < DETECTOR_COLUMNS; c += GROUPS) {
            if (good[line + c] == 0) continue;
            const int place = frame * DETECTOR_COLUMNS + c;
            deposit(
                static_cast<float>(values[c]), lower[place], fraction[place], capacity, own, PHASES * ROW_BLOCK,
                [](const float* at) { return *at; }, [](float* at, float x) { *at = x; });
        }
    }
}
