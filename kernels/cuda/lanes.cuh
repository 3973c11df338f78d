// The arithmetic that every kernel is written in, once for a GPU thread and once for a vector of pixels.
//
// A kernel is a template over F, "one float per lane": `float` in a GPU thread, a SIMD vector on the processor
// (kernels/host/simd.hpp). F has + - * / and comparisons that give a mask; everything else it needs is here: selection,
// and exp2, log and 1/sqrt as polynomials, the same on both targets. No libc name, no double precision.
#pragma once

#if defined(__CUDACC__)
#define DARKLANE_FN __host__ __device__ __forceinline__
#define DARKLANE_UNROLL _Pragma("unroll")
#define DARKLANE_ROLL _Pragma("unroll 1")
#else
#define DARKLANE_FN inline __attribute__((always_inline))
#define DARKLANE_UNROLL _Pragma("GCC unroll 8")
#define DARKLANE_ROLL _Pragma("GCC unroll 1")
#endif

// Keeps the value of a variable as it is: no compiler looks beyond this at what it was made of.
#if defined(__aarch64__)
#define DARKLANE_KEEP(VALUE) asm("" : "+w"(VALUE))
#elif defined(__x86_64__)
#define DARKLANE_KEEP(VALUE) asm("" : "+v"(VALUE))
#else
#define DARKLANE_KEEP(VALUE) asm("" : "+m"(VALUE))
#endif
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define DARKLANE_FUSED  // a product and a sum can be one operation
#endif

// Each instruction set of the host build has its own namespace, so the linker never mixes their functions.
#ifndef DARKLANE_NAMESPACE
#define DARKLANE_NAMESPACE darklane
#endif

namespace DARKLANE_NAMESPACE {

DARKLANE_FN int bits_of(float x) {
#if defined(__CUDA_ARCH__)
    return __float_as_int(x);
#else
    int i;
    __builtin_memcpy(&i, &x, sizeof i);
    return i;
#endif
}

DARKLANE_FN float float_of(int i) {
#if defined(__CUDA_ARCH__)
    return __int_as_float(i);
#else
    float x;
    __builtin_memcpy(&x, &i, sizeof x);
    return x;
#endif
}

DARKLANE_FN int shift_left(int i, int by) { return static_cast<int>(static_cast<unsigned>(i) << by); }
DARKLANE_FN float to_float(int i) { return static_cast<float>(i); }
DARKLANE_FN float select(bool mask, float a, float b) { return mask ? a : b; }
DARKLANE_FN bool any(bool mask) { return mask; }

// Of two numbers; a NaN in `a` gives `b`.
template <class F> DARKLANE_FN F maximum(F a, F b) { return select(a > b, a, b); }
template <class F> DARKLANE_FN F minimum(F a, F b) { return select(a < b, a, b); }
template <class F> DARKLANE_FN F magnitude(F a) { return maximum(a, F(0.0f) - a); }
template <class F> DARKLANE_FN F clamp(F x, F low, F high) { return minimum(maximum(x, low), high); }

// 2^f for |f| ≤ ½, to 2.2e-7 relative.
template <class F> DARKLANE_FN F exp2_near_zero(F f) {
    F p = f * F(1.3276472e-3f) + F(9.675542e-3f);
    p = p * f + F(5.5507131e-2f);
    p = p * f + F(2.4022120e-1f);
    p = p * f + F(6.9314694e-1f);
    return p * f + F(1.0000001e+0f);
}

constexpr float EXP2_LEAST = -100.0f;

// 2^x for x ≤ 127, to 2.2e-7 relative; 2^-100 for all x below, which keeps products clear of denormal numbers.
template <class F> DARKLANE_FN F exp2_of(F x) {
    const F magic(12582912.0f);  // 1.5 · 2^23: adding it rounds to a whole number and leaves that in the low bits
    x = maximum(x, F(EXP2_LEAST));
    const F shifted = x + magic;
    const F p = exp2_near_zero(x - (shifted - magic));
    return float_of(bits_of(p) + shift_left(bits_of(shifted), 23));
}

template <class F> DARKLANE_FN F exp_of(F x) { return exp2_of(x * F(1.4426950f)); }

// ln x for positive normal x, to 2e-7 absolute plus rounding.
template <class F> DARKLANE_FN F log_of(F x) {
    const auto biased = bits_of(x) - 0x3f3504f3;  // of 1/√2: the mantissa ends in [1/√2, √2)
    const auto exponent = biased >> 23;
    const F m = float_of(bits_of(x) - shift_left(exponent, 23));
    const F s = (m - F(1.0f)) / (m + F(1.0f));
    const F s2 = s * s;
    const F p = (s2 * F(0.29583976f) + F(0.39987886f)) * s2 + F(0.66666698f);
    return to_float(exponent) * F(0.69314718f) + (s * s2 * p + s * F(2.0f));
}

// 1/√x for positive normal x: a guess from the exponent and three Newton steps.
template <class F> DARKLANE_FN F inverse_root(F x) {
    F y = float_of(0x5f375a86 - (bits_of(x) >> 1));
    const F h = x * F(0.5f);
    y = y * (F(1.5f) - h * y * y);
    y = y * (F(1.5f) - h * y * y);
    return y * (F(1.5f) - h * y * y);
}

}  // namespace DARKLANE_NAMESPACE
