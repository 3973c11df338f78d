// Entry points of the retrieval for a GPU: one thread for each problem, a pixel with both bins (`map`) or one of them.
#include "finish.cuh"

using namespace DARKLANE_NAMESPACE;

namespace {

// What lies in memory, curves and prior, is not kept in registers across this: it is read again, from the cache, and more
// threads are resident.
__device__ __forceinline__ void read_again() { asm volatile("" ::: "memory"); }

// Problem i of n. Planes of n values each: samples[group][bin], images and sigma[channel][bin], flags[bin], where the
// bin is part of the problem for one bin at a time (NB = 1: n counts the pixels of both bins). `given` are the curves as
// prepare_curves() got them, with the same x, `curves` what it made of them.
template <bool PAPER, int NB>
__device__ void fit(int i, const float* samples, const float* given, float x, const float* curves, const float* exposure,
                    const float* variance, const float* prior_values, int n, int columns, float bias_most, float* images,
                    float* sigma, unsigned short* flags) {
    Settings s = settings();
    s.bias_most = bias_most;  // the only one that a call chooses
    const Prior& prior = *reinterpret_cast<const Prior*>(prior_values);
    const int column = i % columns, line = i / columns, rows = n / columns / (NB == 2 ? 1 : 2);
    const Curve<float>(&curve)[NB] = *reinterpret_cast<const Curve<float>(*)[NB]>(
        curves + CURVE_PREPARED * (NB == 2 ? 2 * line : line % rows * 2 + line / rows));
    const float scale = 1.0f / exposure[column];
    Data<float, NB> data;
    data.gain = exposure[column] / variance[column];
    bool good = true;
    for (int b = 0; b < NB; ++b) {
        for (int g = 0; g < GROUPS; ++g) {
            const float value = samples[static_cast<long long>(g * NB + b) * n + i];
            good = good && value > 0.0f && value < s.saturated_counts;
            data.y[b][g] = value * scale;
        }
    }
    Outcome<float, NB> out;
    if (good) {
        Point<float, NB> from;
        State<float, NB> state = {};
        start(data, curve, prior, s, from);
        begin(from, s, state);
        bool settled = false;
        for (int k = 0; !settled && static_cast<float>(k) < s.max_iterations; ++k) {
            read_again();
            settled = iterate<PAPER>(data, curve, prior, s, state);
        }
        read_again();
        finish<PAPER>(data, curve, prior, s, state.trial, settled ? 1.0f : 0.0f, out);
    }
    const float nan = float_of(0x7fc00000);
    for (int b = 0; b < NB; ++b) {
        for (int c = 0; c < 4; ++c) {
            const long long at = static_cast<long long>(c * NB + b) * n + i;
            images[at] = good ? out.image[c][b] : nan;
            sigma[at] = good ? out.sigma[c][b] : nan;
        }
        flags[static_cast<long long>(b) * n + i] = static_cast<unsigned short>(good ? static_cast<int>(out.flags[b]) : BAD_INPUT);
    }
    if constexpr (NB == 1) {
        if (!good || out.weak == 0.0f) return;
        read_again();
        Given<float> in;
        for (int k = 0; k < CURVE_INPUTS; ++k) in.curve[k] = given[CURVE_INPUTS * line + k];
        for (int g = 0; g < GROUPS; ++g) in.counts[g] = samples[static_cast<long long>(g) * n + i];
        in.x = x;
        in.exposure = exposure[column];
        Point<float, 1> p = out.fitted;
        refine<PAPER>(in, data.gain, curve, prior, s, p);
        images[i] += p.t[0] - out.fitted.t[0];
        images[static_cast<long long>(n) + i] += p.s[0] - out.fitted.s[0];
        images[2LL * n + i] += p.v[0] - out.fitted.v[0];
        images[3LL * n + i] += p.z[0] - out.fitted.z[0];
    }
}

}  // namespace

// Curves of equation (1), (2 bins, rows, 13), as the other kernels use them, (rows, 2 bins, 18).
extern "C" __global__ void prepare_curves(const float* curves, float x, int paper, int rows,
                                          float* prepared) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= 2 * rows) return;
    const Settings s = settings();
    Curve<float>& out = *reinterpret_cast<Curve<float>*>(prepared + CURVE_PREPARED * (i % rows * 2 + i / rows));
    const float* line = curves + CURVE_INPUTS * i;
    out = paper ? prepare<true>(line, x, s) : prepare<false>(line, x, s);
}

#define DARKLANE_RETRIEVE(NAME, PAPER, NB)                                                                             \
    extern "C" __global__ void NAME(const float* samples, const float* given, float x, const float* curves,            \
                                    const float* exposure, const float* variance, const float* prior, int n,           \
                                    int columns, float bias_most, float* images, float* sigma,                         \
                                    unsigned short* flags) {                                                           \
        const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);                                         \
        if (i >= n) return;                                                                                            \
        fit<PAPER, NB>(i, samples, given, x, curves, exposure, variance, prior, n, columns, bias_most, images, sigma,  \
                       flags);                                                                                         \
    }

DARKLANE_RETRIEVE(retrieve_paper, true, 1)
DARKLANE_RETRIEVE(retrieve_full, false, 1)
DARKLANE_RETRIEVE(retrieve_map, false, 2)
