// Entry points of the phase sums for a GPU. A thread owns a sum: it looks for the values that fall on it, so no two threads
// write to one place, and a sum is added up in the order of frames and columns, whatever frames come in one call.
//
// Lines are the rows of both bins, one after the other. Sums lie as [line][grid column][group], so neighbouring threads
// read neighbouring values and sums. The grid columns are a ring: the first of the window is at `start`.
#include "phase_sums.cuh"

using namespace DARKLANE_NAMESPACE;

constexpr int TOGETHER = 4;  // lines of a thread: they share the search for the columns that matter
constexpr int PAIR = 2;      // columns whose values are loaded at once: so many fall on a sum of the usual grid
constexpr int QUADS = DETECTOR_COLUMNS / GROUPS;

// frames (n, lines, 128); lower and fraction (n, 128): place of each column in the window; good (lines, 128); sums (lines,
// capacity, 4) are added to, in the `cells` grid columns from `first` on, which are all that the frames reach.
extern "C" __global__ void phase_sums(const unsigned short* frames, const int* lower, const float* fraction,
                                      const unsigned char* good, int n, int lines, int capacity, int start, int first,
                                      int cells, float* sums) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    const int line = i / (cells * GROUPS) * TOGETHER;
    if (line >= lines) return;
    const int spot = i % (cells * GROUPS), group = spot % GROUPS, cell = first + spot / GROUPS;
    float* own = sums + (static_cast<long long>(line) * capacity + (start + cell) % capacity) * GROUPS + group;
    const long long next = static_cast<long long>(capacity) * GROUPS;
    int row[TOGETHER];  // where the values of each line begin; past the last line, those of the last
    float sum[TOGETHER];
    DARKLANE_UNROLL for (int r = 0; r < TOGETHER; ++r) {
        row[r] = (line + r < lines ? r : lines - 1 - line) * DETECTOR_COLUMNS;
        sum[r] = line + r < lines ? own[r * next] : 0.0f;
    }
    const unsigned char* usable = good + static_cast<long long>(line) * DETECTOR_COLUMNS;
    for (int frame = 0; frame < n; ++frame) {
        const unsigned short* values = frames + (static_cast<long long>(frame) * lines + line) * DETECTOR_COLUMNS;
        const int* place = lower + frame * DETECTOR_COLUMNS;
        int begin = QUADS, end = 0;
        DARKLANE_UNROLL for (int k = 0; k < QUADS; ++k) {
            const int at = place[k * GROUPS + group];
            if (at == cell || at == cell - 1) {
                begin = begin < k ? begin : k;
                end = k + 1;
            }
        }
        for (int k = begin; k < end; k += PAIR) {
            DARKLANE_UNROLL for (int p = 0; p < PAIR; ++p) {
                const int c = (k + p < end ? k + p : k) * GROUPS + group;
                const float weight = k + p < end ? share_of(place[c], fraction[frame * DETECTOR_COLUMNS + c], cell) : 0.0f;
                DARKLANE_UNROLL for (int r = 0; r < TOGETHER; ++r) {
                    const float value = usable[row[r] + c] == 0 ? 0.0f : static_cast<float>(values[row[r] + c]);
                    sum[r] = sum[r] + value * weight;
                }
            }
        }
    }
    DARKLANE_UNROLL for (int r = 0; r < TOGETHER; ++r) {
        if (line + r < lines) own[r * next] = sum[r];
    }
}

// Takes the first `columns` of the window out, in the layout taken (4, lines, columns), and clears what they leave for the
// columns that the ring brings there next.
extern "C" __global__ void take_sums(float* sums, int lines, int capacity, int start, int columns, float* taken) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    const int line = i / (columns * GROUPS);
    if (line >= lines) return;
    const int group = i % GROUPS, column = i / GROUPS % columns;
    float* own = sums + (static_cast<long long>(line) * capacity + (start + column) % capacity) * GROUPS + group;
    taken[(static_cast<long long>(group) * lines + line) * columns + column] = *own;
    *own = 0.0f;
}
