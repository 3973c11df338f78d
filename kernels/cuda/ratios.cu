// Entry point of the derived ratio images for a GPU: one thread for each pixel.
#include "ratios.cuh"

using namespace DARKLANE_NAMESPACE;

// images and sigma (4 channels, 2 bins, n); values and errors (7, n).
extern "C" __global__ void ratio_images(const float* images, const float* sigma, int n,
                                        float* values, float* errors) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= n) return;
    Measured<float> channel[4][2];
    for (int k = 0; k < 8; ++k) {
        const long long at = static_cast<long long>(k) * n + i;
        channel[k / 2][k % 2] = {images[at], sigma[at]};
    }
    Measured<float> out[RATIOS];
    ratios(channel[0], channel[2], channel[3], settings(), out);
    for (int k = 0; k < RATIOS; ++k) {
        values[static_cast<long long>(k) * n + i] = out[k].value;
        errors[static_cast<long long>(k) * n + i] = out[k].sigma;
    }
}
