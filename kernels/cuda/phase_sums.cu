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

// Takes the first `columns` of the sums out, in the layout taken (4, 2, rows, columns), moves the rest of the `used` ones
// to the front and clears what they leave: one thread for each sum of a grid column, so none waits for another.
extern "C" __global__ void take_sums(float* sums, int rows, int capacity, int used, int columns, float* taken) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    const int lanes = PHASES * ROW_BLOCK, blocks = (rows + ROW_BLOCK - 1) / ROW_BLOCK;
    if (i >= blocks * lanes) return;
    const int block = i / lanes, lane = i % lanes;
    const int row = block * ROW_BLOCK + lane % ROW_BLOCK, phase = lane / ROW_BLOCK;
    float* own = sums + static_cast<long long>(block) * capacity * lanes + lane;
    if (row < rows) {
        float* out = taken + (static_cast<long long>(phase) * rows + row) * columns;
        for (int j = 0; j < columns; ++j) out[j] = own[static_cast<long long>(j) * lanes];
    }
    for (int j = 0; j < used; ++j) {
        const int from = j + columns;
        own[static_cast<long long>(j) * lanes] = from < used ? own[static_cast<long long>(from) * lanes] : 0.0f;
    }
}
