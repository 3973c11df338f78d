// Entry point of grating phase stepping for a GPU: one thread for each pixel of each bin.
#include "sinusoid.cuh"

using namespace DARKLANE_NAMESPACE;

// samples (count, n) and reference (reference_count, n), none when reference_count is 0; projections and bases
// (3, count); images and sigma (4, n), flags (n).
extern "C" __global__ void retrieve_sinusoid(const float* samples, const float* projection, const float* basis, int count,
                                             const float* reference, const float* reference_projection,
                                             const float* reference_basis, int reference_count, float period,
                                             float variance_factor, int n, float* images,
                                             float* sigma, unsigned short* flags) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= n) return;
    const Settings s = settings();
    const Stepping at = {projection, basis, count};
    const auto sample = [=](int k) { return samples[static_cast<long long>(k) * n + i]; };
    const Sinusoid<float> seen = fit_sinusoid<float>(at, variance_factor, sample, s);
    Sinusoid<float> empty = perfect_sinusoid<float>();
    if (reference_count > 0) {
        const Stepping there = {reference_projection, reference_basis, reference_count};
        const auto flat = [=](int k) { return reference[static_cast<long long>(k) * n + i]; };
        empty = fit_sinusoid<float>(there, variance_factor, flat, s);
    }
    Compared<float> out;
    compare(seen, count, empty, reference_count, period, s, out);
    const bool good = static_cast<int>(out.flags) != BAD_INPUT;
    const float nan = float_of(0x7fc00000);
    for (int k = 0; k < SINUSOID_IMAGES; ++k) {
        images[static_cast<long long>(k) * n + i] = good ? out.image[k] : nan;
        sigma[static_cast<long long>(k) * n + i] = good ? out.sigma[k] : nan;
    }
    flags[i] = static_cast<unsigned short>(out.flags);
}
