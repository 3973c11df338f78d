// Numbers of twice the precision: the sum of two floats, of which the second is about what rounding took off the first.
//
// Dekker 1971; Knuth, The Art of Computer Programming 2, 4.2.2. The sums stand as they are written: compilers here may
// make one operation of a product and a sum, but never regroup sums. Where that matters product() keeps it out.
#pragma once
#include "lanes.cuh"

namespace DARKLANE_NAMESPACE {

template <class F> struct Twofold {
    F high, low;
};

// a b, rounded: no compiler makes it part of a sum.
DARKLANE_FN float rounded_product(float a, float b) {
#if defined(__CUDA_ARCH__)
    return __fmul_rn(a, b);
#else
    float p = a * b;
    DARKLANE_KEEP(p);
    return p;
#endif
}

// a b − p exactly, for the p of rounded_product(a, b) and numbers that are neither tiny nor huge.
template <class F> DARKLANE_FN F split_rest(F a, F b, F p) {  // without a fused operation: Dekker 1971
    const F half_of_bits(4097.0f);
    const F ca = a * half_of_bits, cb = b * half_of_bits;
    const F a1 = ca - (ca - a), b1 = cb - (cb - b);
    const F a2 = a - a1, b2 = b - b1;
    return ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2;
}

DARKLANE_FN float product_rest(float a, float b, float p) {
#if defined(__CUDA_ARCH__)
    return __fmaf_rn(a, b, 0.0f - p);
#elif defined(DARKLANE_FUSED)
    return __builtin_fmaf(a, b, 0.0f - p);
#else
    return split_rest(a, b, p);
#endif
}

template <class F> DARKLANE_FN Twofold<F> product(F a, F b) {
    const F p = rounded_product(a, b);
    return {p, product_rest(a, b, p)};
}

// a + b for |a| ≥ |b|.
template <class F> DARKLANE_FN Twofold<F> ordered_sum(F a, F b) {
    const F s = a + b;
    return {s, b - (s - a)};
}

// a + b where neither is a product that is rounded on the way.
template <class F> DARKLANE_FN Twofold<F> sum(F a, F b) {
    const F s = a + b, t = s - a;
    return {s, (a - (s - t)) + (b - t)};
}

template <class F> DARKLANE_FN Twofold<F> operator+(Twofold<F> a, F b) {
    const Twofold<F> s = sum(a.high, b);
    return {s.high, s.low + a.low};
}

template <class F> DARKLANE_FN Twofold<F> operator+(Twofold<F> a, Twofold<F> b) {
    const Twofold<F> s = sum(a.high, b.high);
    return {s.high, s.low + (a.low + b.low)};
}

template <class F> DARKLANE_FN Twofold<F> operator*(Twofold<F> a, F b) {
    const Twofold<F> p = product(a.high, b);
    return {p.high, p.low + a.low * b};
}

template <class F> DARKLANE_FN Twofold<F> operator*(Twofold<F> a, Twofold<F> b) {
    const Twofold<F> p = product(a.high, b.high);
    return {p.high, p.low + (a.high * b.low + a.low * b.high)};
}

// 1/√x for positive normal x.
template <class F> DARKLANE_FN Twofold<F> inverse_root(Twofold<F> x) {
    const F y = inverse_root(x.high);
    const Twofold<F> one = x * product(y, y);
    return {y, y * (((F(1.0f) - one.high) - one.low) * F(0.5f))};
}

// e^x for −69 ≤ x ≤ 0, to 4e-9 relative; e^-69 for all x below.
template <class F> DARKLANE_FN Twofold<F> exp_of(Twofold<F> x) {
    const F magic(12582912.0f), one(1.0f);  // magic: see exp2_of
    const F high = maximum(x.high, F(-69.0f));
    const F shifted = high * F(1.4426950f) + magic;
    const F whole = shifted - magic;
    // ln 2 in two parts; the first has so few digits that its product is exact.
    const Twofold<F> r = sum(high - whole * F(0.693359375f), x.low + whole * F(2.1219444e-4f));
    const Twofold<F> square = product(r.high, r.high);
    F p = r.high * F(2.4801587e-5f) + F(1.9841270e-4f);
    p = p * r.high + F(1.3888889e-3f);
    p = p * r.high + F(8.3333333e-3f);
    p = p * r.high + F(4.1666667e-2f);
    p = p * r.high + F(1.6666667e-1f);
    const Twofold<F> first = ordered_sum(one, r.high);
    const Twofold<F> second = ordered_sum(first.high, square.high * F(0.5f));
    const F rest = r.low + r.low * r.high + square.low * F(0.5f) + p * r.high * square.high;
    const F power = float_of(bits_of(one) + shift_left(bits_of(shifted), 23));
    return {second.high * power, (rest + first.low + second.low) * power};
}

}  // namespace DARKLANE_NAMESPACE
