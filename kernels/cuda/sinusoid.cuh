// Phase stepping: y = a + b cos φ + c sin φ by linear least squares, and what a sample did to it.
//
// The solution is exact and linear in the counts: `projection` (3, n), made in double precision before, times the
// samples. Its covariance follows from var(y) = variance factor × y.
#pragma once
#include "angle.cuh"
#include "settings.cuh"

namespace DARKLANE_NAMESPACE {

constexpr int SINUSOID_IMAGES = 4;  // transmission, refraction, dark-field, visibility ratio

// One stepping: `count` positions, projection (3, count) and basis (3, count) of 1, cos φ, sin φ times the exposure.
struct Stepping {
    const float* projection;
    const float* basis;
    int count;
};

template <class F> struct Sinusoid {
    F mean, cosine, sine;
    F variance_mean, variance_cosine, variance_sine, mean_cosine, mean_sine, cosine_sine;
    F total;  // effective counts of all samples
    F chi2;
    F good;  // 1 or 0
};

// Fits the samples `sample(k)`, counts.
template <class F, class Sample>
DARKLANE_FN Sinusoid<F> fit_sinusoid(const Stepping& at, float variance_factor, Sample sample, const Settings& s) {
    const F zero(0.0f), one(1.0f);
    Sinusoid<F> f = {zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero, one};
    for (int k = 0; k < at.count; ++k) {
        const F y = sample(k);
        const F p(at.projection[k]), q(at.projection[at.count + k]), r(at.projection[2 * at.count + k]);
        f.good = select((y >= zero) & (y < F(s.saturated_counts)), f.good, zero);
        f.mean = f.mean + p * y;
        f.cosine = f.cosine + q * y;
        f.sine = f.sine + r * y;
        f.total = f.total + y;
        const F v = maximum(y, F(s.floor_counts)) * F(variance_factor);
        f.variance_mean = f.variance_mean + p * p * v;
        f.variance_cosine = f.variance_cosine + q * q * v;
        f.variance_sine = f.variance_sine + r * r * v;
        f.mean_cosine = f.mean_cosine + p * q * v;
        f.mean_sine = f.mean_sine + p * r * v;
        f.cosine_sine = f.cosine_sine + q * r * v;
    }
    for (int k = 0; k < at.count; ++k) {
        const F y = sample(k);
        const F wave = F(at.basis[at.count + k]) * f.cosine + F(at.basis[2 * at.count + k]) * f.sine;
        const F off = y - F(at.basis[k]) * f.mean - wave;
        f.chi2 = f.chi2 + off * off / (maximum(y, F(s.floor_counts)) * F(variance_factor));
    }
    f.total = f.total * F(1.0f / variance_factor);
    f.good = select(f.mean > zero, f.good, zero);
    return f;
}

// What is compared: mean, visibility, and their variances relative to the square of the value; of the phase in rad².
template <class F> struct Fringe {
    F mean, visibility, mean_variance, phase_variance, visibility_variance;
    F significance;  // amplitude over its σ, squared
};

template <class F> DARKLANE_FN Fringe<F> fringe(const Sinusoid<F>& f) {
    const F square = maximum(f.cosine * f.cosine + f.sine * f.sine, F(1e-30f));
    const F root = inverse_root(square), u = f.cosine * root, w = f.sine * root, cross = F(2.0f) * u * w * f.cosine_sine;
    const F along = u * u * f.variance_cosine + w * w * f.variance_sine + cross;
    const F across = w * w * f.variance_cosine + u * u * f.variance_sine - cross;
    const F shared = u * f.mean_cosine + w * f.mean_sine;
    const F over = F(1.0f) / f.mean, per = root * root;
    const F mean_variance = f.variance_mean * over * over;
    return {f.mean, square * root * over, mean_variance, across * per,
            maximum(along * per + mean_variance - F(2.0f) * shared * root * over, F(0.0f)),
            square / maximum(along, F(1e-30f))};
}

template <class F> struct Compared {
    F image[SINUSOID_IMAGES], sigma[SINUSOID_IMAGES], flags;
};

template <class F> DARKLANE_FN F root_of(F x) {
    const F safe = clamp(x, F(1e-30f), F(1e30f));
    return safe * inverse_root(safe);
}

// χ² of n samples above this: they do not lie on a sinusoid.
DARKLANE_FN float sinusoid_limit(int count, const Settings& s) {
    return s.chi2_map + 2.0f * static_cast<float>(count - 3);
}

// Sample against reference; `period` µm.
template <class F>
DARKLANE_FN void compare(const Sinusoid<F>& sample, int count, const Sinusoid<F>& reference, int reference_count,
                         float period, const Settings& s, Compared<F>& out) {
    const Fringe<F> a = fringe(sample), b = fringe(reference);
    const F zero(0.0f);
    out.image[0] = a.mean / b.mean;
    // The angle between the two, without wrap-around.
    const F across = sample.sine * reference.cosine - sample.cosine * reference.sine;
    const F along = sample.cosine * reference.cosine + sample.sine * reference.sine;
    const F per_radian(period * 0.15915494f);
    out.image[1] = angle_of(across, along) * per_radian;
    const F ratio = a.visibility / b.visibility;
    // A Gaussian blur of variance τ² leaves exp(−2π² τ²/p²) of the first harmonic.
    const F per_log(period * period * 0.050660592f);
    out.image[2] = F(0.0f) - log_of(clamp(ratio, F(1e-30f), F(1e30f))) * per_log;
    out.image[3] = ratio;
    const F spread = root_of(a.visibility_variance + b.visibility_variance);
    out.sigma[0] = out.image[0] * root_of(a.mean_variance + b.mean_variance);
    out.sigma[1] = per_radian * root_of(a.phase_variance + b.phase_variance);
    out.sigma[2] = per_log * spread;
    out.sigma[3] = ratio * spread;
    const float significant = s.ratio_significance * s.ratio_significance;
    const auto regular = (a.significance > F(significant)) & (b.significance > F(significant));
    const auto exact = (sample.chi2 < F(sinusoid_limit(count, s))) &
                       (reference.chi2 < F(sinusoid_limit(reference_count, s)));
    const auto enough = (sample.total >= F(s.low_counts)) & (reference.total >= F(s.low_counts));
    const F flags = select(exact, zero, F(NO_EXACT_ROOT)) + select(regular, zero, F(SINGULAR)) +
                    select(enough, zero, F(LOW_COUNTS));
    out.flags = select((sample.good > zero) & (reference.good > zero), flags, F(BAD_INPUT));
}

// Without a reference: mean counts, centre, and visibility of the sinusoid itself.
template <class F> DARKLANE_FN Sinusoid<F> perfect_sinusoid() {
    const F zero(0.0f), one(1.0f), many(1e30f);
    return {one, one, zero, zero, zero, zero, zero, zero, zero, many, zero, one};
}

}  // namespace DARKLANE_NAMESPACE
