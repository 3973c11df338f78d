// Entry point of the detector correction for a GPU: one thread for each pixel, with both bins of every frame.
#include "correct.cuh"

using namespace DARKLANE_NAMESPACE;

namespace {

template <bool PARALYSABLE>
__device__ void correct_pixel(int i, const unsigned short* frames, const unsigned char* good, const float* dead_time,
                              const float* exposure, float full_scale, int n, int pixels,
                              float* counts, unsigned char* flags) {
    const Settings s = settings();
    const float nan = float_of(0x7fc00000), usable = static_cast<float>(good[i]), tau = dead_time[i];
    for (int frame = 0; frame < n; ++frame) {
        const long long low = 2LL * frame * pixels + i, high = low + pixels;
        const float a = static_cast<float>(frames[low]), b = static_cast<float>(frames[high]);
        const Corrected<float> out = correct<PARALYSABLE>(a, b, usable, tau / exposure[frame], full_scale, s);
        const bool known = out.flags == 0.0f;
        counts[low] = known ? a * out.factor : nan;
        counts[high] = known ? b * out.factor : nan;
        flags[static_cast<long long>(frame) * pixels + i] = static_cast<unsigned char>(out.flags);
    }
}

}  // namespace

// frames and counts (n, 2, pixels); good and dead_time (pixels), s; exposure (n), s; flags (n, pixels).
extern "C" __global__ void correct_frames(const unsigned short* frames, const unsigned char* good,
                                          const float* dead_time, const float* exposure, float full_scale,
                                          int paralysable, int n, int pixels, float* counts,
                                          unsigned char* flags) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= pixels) return;
    if (paralysable) {
        correct_pixel<true>(i, frames, good, dead_time, exposure, full_scale, n, pixels, counts, flags);
    } else {
        correct_pixel<false>(i, frames, good, dead_time, exposure, full_scale, n, pixels, counts, flags);
    }
}
