// Lanes: the SIMD vector that the kernels of ../cuda/*.cuh are instantiated with on the processor.
// DARKLANE_LANES floats wide; the compiler lowers it to what the flags of the including file allow.
#pragma once
#include "lanes.cuh"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace DARKLANE_NAMESPACE {

constexpr int LANES = DARKLANE_LANES;
typedef float FloatVector __attribute__((vector_size(4 * LANES)));
typedef int IntVector __attribute__((vector_size(4 * LANES)));

struct Mask {
    IntVector m;  // 0 or −1 per lane
};

struct Lanes {
    FloatVector v;
    Lanes() = default;
    DARKLANE_FN Lanes(FloatVector x) : v(x) {}
    DARKLANE_FN explicit Lanes(float x) {
        for (int i = 0; i < LANES; ++i) v[i] = x;
    }
};

DARKLANE_FN Lanes operator+(Lanes a, Lanes b) { return a.v + b.v; }
DARKLANE_FN Lanes operator-(Lanes a, Lanes b) { return a.v - b.v; }
DARKLANE_FN Lanes operator*(Lanes a, Lanes b) { return a.v * b.v; }
DARKLANE_FN Lanes operator/(Lanes a, Lanes b) { return a.v / b.v; }
DARKLANE_FN Mask operator<(Lanes a, Lanes b) { return {a.v < b.v}; }
DARKLANE_FN Mask operator>(Lanes a, Lanes b) { return {a.v > b.v}; }
DARKLANE_FN Mask operator<=(Lanes a, Lanes b) { return {a.v <= b.v}; }
DARKLANE_FN Mask operator>=(Lanes a, Lanes b) { return {a.v >= b.v}; }
DARKLANE_FN Mask operator==(Lanes a, Lanes b) { return {a.v == b.v}; }
DARKLANE_FN Mask operator&(Mask a, Mask b) { return {a.m & b.m}; }
DARKLANE_FN Mask operator|(Mask a, Mask b) { return {a.m | b.m}; }

DARKLANE_FN Lanes select(Mask mask, Lanes a, Lanes b) { return mask.m ? a.v : b.v; }

// Whole numbers, for the bits of a float.
struct IntLanes {
    IntVector i;
};

DARKLANE_FN IntLanes operator+(IntLanes a, IntLanes b) { return {a.i + b.i}; }
DARKLANE_FN IntLanes operator-(IntLanes a, IntLanes b) { return {a.i - b.i}; }
DARKLANE_FN IntLanes operator-(IntLanes a, int b) { return {a.i - b}; }
DARKLANE_FN IntLanes operator-(int a, IntLanes b) { return {a - b.i}; }
DARKLANE_FN IntLanes operator>>(IntLanes a, int by) { return {a.i >> by}; }
DARKLANE_FN IntLanes shift_left(IntLanes a, int by) { return {a.i << by}; }
DARKLANE_FN IntLanes bits_of(Lanes x) { return {(IntVector)x.v}; }
DARKLANE_FN Lanes float_of(IntLanes a) { return (FloatVector)a.i; }
DARKLANE_FN Lanes to_float(IntLanes a) { return __builtin_convertvector(a.i, FloatVector); }

DARKLANE_FN Lanes load(const float* from) {
    FloatVector v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}
DARKLANE_FN void store(float* to, Lanes x) { __builtin_memcpy(to, &x.v, sizeof x.v); }

// Lane i of the result is lane index[i] of x.
DARKLANE_FN Lanes shuffle(Lanes x, IntVector index) { return __builtin_shuffle(x.v, index); }

// Bit i is set where lane i of the mask is.
DARKLANE_FN unsigned bits(Mask mask) {
#if DARKLANE_LANES == 16 && defined(__AVX512DQ__)
    return _mm512_movepi32_mask((__m512i)mask.m);
#elif DARKLANE_LANES == 8 && defined(__AVX2__)
    return static_cast<unsigned>(_mm256_movemask_ps((__m256)mask.m));
#elif DARKLANE_LANES == 4 && defined(__SSE2__)
    return static_cast<unsigned>(_mm_movemask_ps((__m128)mask.m));
#else
    unsigned set = 0;
    for (int i = 0; i < LANES; ++i) set |= static_cast<unsigned>(mask.m[i] & 1) << i;
    return set;
#endif
}

}  // namespace DARKLANE_NAMESPACE
