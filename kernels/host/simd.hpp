// Lanes: the SIMD vector that the kernels of ../cuda/*.cuh are instantiated with on the processor.
// DARKLANE_LANES floats wide; the compiler lowers it to what the flags of the including file allow.
#pragma once
#include "twofold.cuh"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
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
#if DARKLANE_LANES == 16 && defined(__AVX512DQ__)
// 1/b to 14 bits and one Newton step, instead of a division; right to 2 units in the last place. 1/0 is infinite.
DARKLANE_FN Lanes operator/(Lanes a, Lanes b) {
    const __m512 divisor = (__m512)b.v, guess = _mm512_rcp14_ps(divisor);
    const __mmask16 extreme = _mm512_fpclass_ps_mask(guess, 0x1e);  // ±0 and ±∞
    const __m512 rest = _mm512_fnmadd_ps(divisor, guess, _mm512_set1_ps(1.0f));
    return a.v * (FloatVector)_mm512_mask_fmadd_ps(guess, static_cast<__mmask16>(~extreme), rest, guess);
}
#else
DARKLANE_FN Lanes operator/(Lanes a, Lanes b) { return a.v / b.v; }
#endif
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

#if DARKLANE_LANES == 16 && defined(__AVX512DQ__)
// Instead of those of lanes.cuh, with what AVX-512 has for the bits of a float.
DARKLANE_FN Lanes magnitude(Lanes a) { return (FloatVector)_mm512_abs_ps((__m512)a.v); }

DARKLANE_FN Lanes inverse_root(Lanes x) {
    const Lanes y = (FloatVector)_mm512_rsqrt14_ps((__m512)x.v);
    return y * (Lanes(1.5f) - x * Lanes(0.5f) * y * y);
}

DARKLANE_FN Lanes exp2_of(Lanes x) {
    const __m512 from = (__m512)maximum(x, Lanes(EXP2_LEAST)).v;
    const __m512 whole = _mm512_roundscale_ps(from, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Lanes p = exp2_near_zero(Lanes((FloatVector)(from - whole)));
    return (FloatVector)_mm512_scalef_ps((__m512)p.v, whole);
}
#endif

// Of twofold.cuh, for lanes.
DARKLANE_FN Lanes rounded_product(Lanes a, Lanes b) {
    FloatVector p = a.v * b.v;
    DARKLANE_KEEP(p);
    return p;
}

DARKLANE_FN Lanes product_rest(Lanes a, Lanes b, Lanes p) {
#if DARKLANE_LANES == 16 && defined(__AVX512F__)
    return (FloatVector)_mm512_fmsub_ps((__m512)a.v, (__m512)b.v, (__m512)p.v);
#elif DARKLANE_LANES == 8 && defined(__FMA__)
    return (FloatVector)_mm256_fmsub_ps((__m256)a.v, (__m256)b.v, (__m256)p.v);
#elif DARKLANE_LANES == 4 && defined(__ARM_FEATURE_FMA)
    return (FloatVector)vfmaq_f32((float32x4_t)(-p.v), (float32x4_t)a.v, (float32x4_t)b.v);
#else
    return split_rest(a, b, p);
#endif
}

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

// Whether the mask is set in a lane: for work that no lane needs.
DARKLANE_FN bool any(Mask mask) { return bits(mask) != 0; }

}  // namespace DARKLANE_NAMESPACE
