// What each instruction set's build of the kernels offers to the module.
#pragma once
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

// Number of floats in the table of kernels/settings.py.
constexpr unsigned long SETTINGS = 33;

struct Kernels {
    const char* name;
    void (*retrieve)(const RetrieveJob&);
};

extern const Kernels baseline;
extern const Kernels avx2;
extern const Kernels avx512;

}  // namespace darklane_host
