// What each instruction set's build offers for detector correction, stepped acquisition and phase stepping.
#pragma once
#include <cstdint>

namespace darklane_host {

// See kernels/cuda/correct.cu; `pixels` = rows × 128.
struct CorrectJob {
    const std::uint16_t* values;
    const std::uint8_t* good;
    const float* dead_time;
    const float* exposure;
    const float* settings;
    float full_scale;
    int paralysable;
    long frames, pixels;
    float* counts;
    std::uint8_t* flags;
    int threads;
};

// See kernels/cuda/stepped.cu; `curve_plane` values in a plane of the curves and a bin.
struct SteppedJob {
    const float* samples;
    const float* curves;
    const float* positions;
    const float* exposure;
    const float* variance;
    const float* prior;
    const float* settings;
    int count, ways;
    float pitch;
    int map;
    long rows, columns, curve_columns;
    float* images;
    float* sigma;
    std::uint16_t* flags;
    int threads;
};

// See kernels/cuda/sinusoid.cu.
struct SinusoidJob {
    const float* samples;
    const float* projection;
    const float* basis;
    const float* reference;
    const float* reference_projection;
    const float* reference_basis;
    const float* settings;
    int count, reference_count;
    float period, variance_factor;
    long n;
    float* images;
    float* sigma;
    std::uint16_t* flags;
    int threads;
};

}  // namespace darklane_host
