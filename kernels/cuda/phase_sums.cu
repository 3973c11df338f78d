// Entry points of the phase sums for a GPU. A thread owns a sum: it looks for the values that fall on it, so no two threads
// write to one place, and a sum is added up in the order of frames and columns, whatever frames come in one call.
//
// Lines are the rows of both bins, one after the other. Sums lie as [line][grid column][group], so neighbouring threads
// read neighbouring values and sums. The grid columns are a ring: the first of the window is at `start`.
#include "phase_sums.cuh"

using namespace DARKLANE_NAMESPACE;

constexpr int TOGETHER = 2;  // lines of a thread, of which there are always so many: they share the search for columns
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
    float sum[TOGETHER];
    DARKLANE_UNROLL for (int r = 0; r < TOGETHER; ++r) sum[r] = own[r * next];
    // All of these begin at the thread's group: what lies at a constant distance needs no address of its own.
    const unsigned char* usable = good + static_cast<long long>(line) * DETECTOR_COLUMNS + group;
    const unsigned short* values = frames + static_cast<long long>(line) * DETECTOR_COLUMNS + group;
    const int* place = lower + group;
    const float* part = fraction + group;
    for (int frame = 0; frame < n; ++frame) {
        int begin = QUADS, end = 0;
        DARKLANE_UNROLL for (int k = 0; k < QUADS; ++k) {
            // The difference is 0 or 1: the column is shared between this grid column and a neighbour.
            if (static_cast<unsigned>(cell) - static_cast<unsigned>(place[k * GROUPS]) <= 1u) {
                begin = begin < k ? begin : k;
                end = k + 1;
            }
        }
        for (int k = begin; k < end; k += PAIR) {
            float weight[PAIR], value[PAIR][TOGETHER], fine[PAIR][TOGETHER];
            // All loads first, none waits for another.
            DARKLANE_UNROLL for (int p = 0; p < PAIR; ++p) {
                const int c = (k + p < end ? k + p : k) * GROUPS;
                weight[p] = k + p < end ? share_of(place[c], part[c], cell) : 0.0f;
                DARKLANE_UNROLL for (int r = 0; r < TOGETHER; ++r) {
                    value[p][r] = static_cast<float>(values[r * DETECTOR_COLUMNS + c]);
                    fine[p][r] = usable[r * DETECTOR_COLUMNS + c] != 0 ? 1.0f : 0.0f;
                }
            }
            DARKLANE_UNROLL for (int p = 0; p < PAIR; ++p) {
                DARKLANE_UNROLL for (int r = 0; r < TOGETHER; ++r) {
                    sum[r] = sum[r] + value[p][r] * (weight[p] * fine[p][r]);
                }
            }
        }
        values += static_cast<long long>(lines) * DETECTOR_COLUMNS;
        place += DETECTOR_COLUMNS;
        part += DETECTOR_COLUMNS;
    }
    DARKLANE_UNROLL for (int r = 0; r < TOGETHER; ++r) own[r * next] = sum[r];
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
