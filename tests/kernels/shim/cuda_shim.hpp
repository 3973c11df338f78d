// Enough of CUDA's language for g++ to execute kernels/cuda/*.cu thread by thread. For tests only.
#pragma once
#define __CUDACC__
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline

struct Dim3 {
    unsigned x = 1, y = 1, z = 1;
};
static Dim3 threadIdx, blockIdx, blockDim, gridDim;
