// ln x in lanes, to the last bit as NumPy computes it with AVX2 and AVX-512: networks were trained on that, and eight-bit
// graphs make a difference of the last bit a larger one.
#pragma once
#include "simd.hpp"

namespace DARKLANE_NAMESPACE {

// a · b + c, rounded once.
DARKLANE_FN Lanes fused(Lanes a, Lanes b, Lanes c) {
#if defined(__FMA__) || defined(__aarch64__)
    return a.v * b.v + c.v;  // -ffp-contract=fast
#else
    // The product is exact. The sum is rounded twice, which makes no difference to any logarithm from 0.001 to 2.
    typedef double Wide __attribute__((vector_size(8 * LANES)));
    const auto wide = [](Lanes x) { return __builtin_convertvector(x.v, Wide); };
    return __builtin_convertvector(wide(a) * wide(b) + wide(c), FloatVector);
#endif
}

// a / b, rounded to nearest for the polynomials below (every one was tried).
DARKLANE_FN Lanes quotient(Lanes a, Lanes b) {
#if DARKLANE_LANES == 16 && defined(__AVX512F__)
    // 1/b to 14 bits and one Newton step, then what is left over: three times as fast as the division.
    const Lanes guess = (FloatVector)_mm512_rcp14_ps((__m512)b.v), minus(-b.v);
    const Lanes inverse = fused(fused(minus, guess, Lanes(1.0f)), guess, guess);
    const Lanes near = a * inverse;
    return fused(fused(minus, near, a), inverse, near);
#else
    return a.v / b.v;
#endif
}

// Of positive normal x: exponent · ln 2 + P(m) / Q(m), with the coefficients of NumPy (npy_simd_data.h, NPY_COEFF_*_LOGf).
DARKLANE_FN Lanes natural_logarithm(Lanes x) {
    const IntLanes exponent = (bits_of(x) - 0x3f3504f4) >> 23;  // the mantissa ends in (1/√2, √2]
    const Lanes m = float_of(bits_of(x) - shift_left(exponent, 23)) - Lanes(1.0f);
    Lanes p = fused(Lanes(2.589979117907922693523e-02f), m, Lanes(3.808837741388407920751e-01f));
    p = fused(p, m, Lanes(1.480000633576506585156e+00f));
    p = fused(p, m, Lanes(2.112677543073053063722e+00f));
    p = fused(p, m, Lanes(1.0f)) * m;
    Lanes q = fused(Lanes(5.875095403124574342950e-03f), m, Lanes(1.546476374983906719538e-01f));
    q = fused(q, m, Lanes(9.864942958519418960339e-01f));
    q = fused(q, m, Lanes(2.453006071784736363091e+00f));
    q = fused(q, m, Lanes(2.612677543073109236779e+00f));
    q = fused(q, m, Lanes(1.0f));
    return fused(to_float(exponent), Lanes(0.693147180559945309417f), quotient(p, q));
}

}  // namespace DARKLANE_NAMESPACE
