// What each instruction set's build of the kernels offers to the module.
#pragma once
#include "acquisition.hpp"
#include "network_planes.hpp"

#include <cstdint>

namespace darklane_host {

// Planes of n floats, see kernels/cuda/retrieve.cu; `curves` are the 13 parameters of every line (row of a bin).
struct RetrieveJob {
    const float* samples;
    const float* curves;
    const float* exposure;
    const float* variance;
    const float* prior;
    const float* settings;
    float x;
    int model;  // 0 paper, 1 full, 2 map
    long rows, columns;
    float* images;
    float* sigma;
    std::uint16_t* flags;
    int threads;
};

// See kernels/cuda/phase_sums.cu; `good` may be null. A row of sums is `cells` grid columns long and lies backwards: column
// number `capacity` − 1 comes first, what follows number 0 belongs to columns before the window and is never read.
struct PhaseSumsJob {
    const std::uint16_t* values;
    const int* lower;
    const float* fraction;
    const std::uint8_t* good;
    long frames, rows;
    int capacity, cells;
    float* sums;
    int threads;
};

// See kernels/cuda/ratios.cu.
struct RatiosJob {
    const float* images;
    const float* sigma;
    const float* settings;
    long n;
    float* values;
    float* errors;
    int threads;
};

// See kernels/cuda/curve_fit.cu.
struct CurvesJob {
    const float* positions;
    const float* flats;
    const float* least;
    const float* settings;
    int count, paper;
    long lines;
    float* parameters;
    float* residual;
    int threads;
};

// Number of floats in the table of kernels/settings.py.
constexpr unsigned long SETTINGS = 46;

struct Kernels {
    const char* name;
    void (*retrieve)(const RetrieveJob&);
    void (*phase_sums)(const PhaseSumsJob&);
    void (*ratio_images)(const RatiosJob&);
    void (*fit_curves)(const CurvesJob&);
    void (*correct_frames)(const CorrectJob&);
    void (*retrieve_stepped)(const SteppedJob&);
    void (*retrieve_sinusoid)(const SinusoidJob&);
    void (*network_planes)(const NetworkPlanesJob&);
};

extern const Kernels baseline;
extern const Kernels avx2;
extern const Kernels avx512;

}  // namespace darklane_host
