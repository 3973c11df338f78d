// Entry points of the illumination-curve fit for a GPU: one thread for each row and bin.
#include "curve_fit.cuh"

using namespace DARKLANE_NAMESPACE;

namespace {

struct One {
    __device__ bool operator()(bool mask) const { return !mask; }
};

template <bool PAPER>
__device__ void fit(int line, const float* positions, int count, const float* flats, const float* least,
                    int lines, float* parameters, float* residual) {
    float p[CURVE_INPUTS];
    for (int i = 0; i < CURVE_INPUTS; ++i) p[i] = parameters[static_cast<long long>(i) * lines + line];
    const auto sample = [=](int k, int g) { return flats[(static_cast<long long>(k) * GROUPS + g) * lines + line]; };
    fit_curve<PAPER>(positions, count, sample, least[line], settings(), One{}, p, residual[line]);
    for (int i = 0; i < CURVE_INPUTS; ++i) parameters[static_cast<long long>(i) * lines + line] = p[i];
}

}  // namespace

// flats (count, 4, lines), a line is a row of a bin; least (lines) counts that a weight is taken from at least;
// parameters (13, lines) hold the start and receive the result; residual (lines).
extern "C" __global__ void fit_curves(const float* positions, int count, const float* flats, const float* least, int paper,
                                      int lines, float* parameters, float* residual) {
    const int line = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (line >= lines) return;
    if (paper) {
        fit<true>(line, positions, count, flats, least, lines, parameters, residual);
    } else {
        fit<false>(line, positions, count, flats, least, lines, parameters, residual);
    }
}
