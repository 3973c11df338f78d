// Entry points of the stepped retrieval for a GPU: one thread for each problem, a pixel with both bins (`map`) or one of
// them (`full`).
#include "stepped_finish.cuh"

using namespace DARKLANE_NAMESPACE;

namespace {

struct OfOneProblem {
    long long at[3];
    __device__ float operator()(const float* plane, int kind) const { return plane[at[kind]]; }
};

struct Settled {
    __device__ bool operator()(bool mask) const { return !mask; }
};

template <int NB>
__device__ void fit_stepped(int i, const SteppedInput& in, const Steps& steps, const float* prior,
                            float* images, float* sigma, unsigned short* flags) {
    const OfOneProblem read = {{i, in.curve_plane == in.n ? i : i / in.columns, i % in.columns}};
    Outcome<float, NB> out;
    float good;
    retrieve_stepped<float, NB>(read, in, steps, *reinterpret_cast<const Prior*>(prior),
                                settings(), Settled{}, out, good);
    const bool known = good > 0.0f;
    const float nan = float_of(0x7fc00000);
    for (int b = 0; b < NB; ++b) {
        for (int c = 0; c < 4; ++c) {
            const long long at = (c * NB + b) * in.n + i;
            images[at] = known ? out.image[c][b] : nan;
            sigma[at] = known ? out.sigma[c][b] : nan;
        }
        flags[b * in.n + i] = static_cast<unsigned short>(known ? static_cast<int>(out.flags[b]) : BAD_INPUT);
    }
}

}  // namespace

// Planes as in SteppedInput; positions (count); images and sigma[channel][bin], flags[bin] of n problems each, where the
// bin is part of the problem for one bin at a time.
#define DARKLANE_STEPPED(NAME, NB)                                                                                     \
    extern "C" __global__ void NAME(const float* samples, const float* curves, int curve_plane, const float* positions, \
                                    int count, int ways, float pitch, const float* exposure, const float* variance,    \
                                    const float* prior, int n, int columns, float* images,      \
                                    float* sigma, unsigned short* flags) {                                             \
        const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);                                         \
        if (i >= n) return;                                                                                            \
        const SteppedInput in = {samples, curves, exposure, variance, n, curve_plane, columns};                        \
        const Steps steps = {positions, count, ways, pitch};                                                           \
        fit_stepped<NB>(i, in, steps, prior, images, sigma, flags);                                          \
    }

DARKLANE_STEPPED(retrieve_stepped_full, 1)
DARKLANE_STEPPED(retrieve_stepped_map, 2)
