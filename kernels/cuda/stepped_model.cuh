// Equation (2) for a mask that is moved step by step: samples at any positions, masks of one to eight curves.
//
// A regular mask has one curve, which repeats at the pitch; a G-way mask has G of them side by side, which repeat after G
// pitches. Sample k belongs to curve k mod G and sees it and its two neighbours. G = 4 is the scanned lane.
#pragma once
#include "normal.cuh"

namespace DARKLANE_NAMESPACE {

constexpr int MAX_WAYS = 8;
constexpr int MAX_POSITIONS = 64;

// The curves of one bin and pixel.
template <class F> struct SteppedCurves {
    F amplitude[MAX_WAYS];  // a_0 / √2π
    F centre[MAX_WAYS], variance[MAX_WAYS];
    F floor, dark_field_min, mean_variance;
};

// Where the samples lie.
struct Steps {
    const float* positions;
    int count, ways;
    float pitch;
};

// Samples over exposure; effective counts per unit of them.
template <class F, int NB> struct SteppedData {
    F y[NB][MAX_POSITIONS], gain[MAX_POSITIONS];
};

// Every curve with its variance grown by τ².
template <class F> struct Blurred {
    F amplitude[MAX_WAYS], inverse[MAX_WAYS];
};

template <class F> DARKLANE_FN void blur(const SteppedCurves<F>& curve, int ways, F dark_field, Blurred<F>& out) {
    for (int i = 0; i < ways; ++i) {
        const F root = inverse_root(curve.variance[i] + dark_field);
        out.amplitude[i] = curve.amplitude[i] * root;
        out.inverse[i] = root * root;
    }
}

// Σ E and its derivatives by Δ and τ², the three sums of gaussians() in model.cuh, at sample k.
template <class F>
DARKLANE_FN void at_position(const SteppedCurves<F>& curve, const Blurred<F>& blurred, const Steps& steps, int k, F shift,
                             F (&sum)[3]) {
    const int own = k % steps.ways;
    sum[0] = sum[1] = sum[2] = F(0.0f);
    for (int j = own - 1; j <= own + 1; ++j) {
        const int i = (j + steps.ways) % steps.ways;
        const float wrapped = steps.positions[k] - steps.pitch * static_cast<float>(j - i);
        const F d = F(wrapped) - curve.centre[i] - shift;
        const F slope = d * blurred.inverse[i];
        const F z = d * slope;
        const F e = blurred.amplitude[i] * exp2_of(z * F(-0.72134752f));  // exp(−z/2)
        sum[0] = sum[0] + e;
        sum[1] = sum[1] + e * slope;
        sum[2] = sum[2] + (e * blurred.inverse[i] * F(0.5f)) * (z - F(1.0f));
    }
}

// Counts without a sample.
template <class F> DARKLANE_FN void air_of(const SteppedCurves<F>& curve, const Steps& steps, F (&air)[MAX_POSITIONS]) {
    Blurred<F> sharp;
    blur(curve, steps.ways, F(0.0f), sharp);
    for (int k = 0; k < steps.count; ++k) {
        F sum[3];
        at_position(curve, sharp, steps, k, F(0.0f), sum);
        air[k] = sum[0] + curve.floor;
    }
}

// As assemble() in normal.cuh: normal equations at (t, s, v, o), the weights of the new point, and Σ W r² of the new
// residuals under the weights of the old one.
template <class F>
DARKLANE_FN F assemble(const SteppedCurves<F>& curve, const Steps& steps, const F (&y)[MAX_POSITIONS],
                       const F (&gain)[MAX_POSITIONS], F t, F s, F v, F o, float floor_counts,
                       const F (&old_weight)[MAX_POSITIONS], F (&weight)[MAX_POSITIONS], Normal<F>& n) {
    Blurred<F> blurred;
    blur(curve, steps.ways, v, blurred);
    const F background = curve.floor * o;
    F old_chi2(0.0f);
    n = {};
    for (int k = 0; k < steps.count; ++k) {
        F e[3];
        at_position(curve, blurred, steps, k, s, e);
        const F model = e[0] * t + background;
        const F r = y[k] - model;
        const F w = gain[k] / maximum(model, F(floor_counts) / gain[k]);
        weight[k] = w;
        const F wr = w * r, by_s = e[1] * t, by_v = e[2] * t;
        n.chi2 = n.chi2 + wr * r;
        old_chi2 = old_chi2 + (old_weight[k] * r) * r;
        const F wt = w * e[0], ws = w * by_s, wv = w * by_v, wo = w * curve.floor;
        n.tt = n.tt + wt * e[0];
        n.ts = n.ts + wt * by_s;
        n.tv = n.tv + wt * by_v;
        n.to = n.to + wt * curve.floor;
        n.ss = n.ss + ws * by_s;
        n.sv = n.sv + ws * by_v;
        n.so = n.so + ws * curve.floor;
        n.vv = n.vv + wv * by_v;
        n.vo = n.vo + wv * curve.floor;
        n.oo = n.oo + wo * curve.floor;
        n.gt = n.gt + wr * e[0];
        n.gs = n.gs + wr * by_s;
        n.gv = n.gv + wr * by_v;
        n.go = n.go + wr * curve.floor;
    }
    return old_chi2;
}

// Where the values of one problem (or lanes of problems) lie: read(plane, kind) with these kinds of plane.
enum Plane { OF_PROBLEMS, OF_CURVES, OF_COLUMNS };

// What a problem consists of, in memory. Planes of n problems each, samples (count, NB), exposure (count, columns),
// variance (columns), and curve planes (3 ways + 1, NB) of `curve_plane` values: areas, centres, widths and the floor.
struct SteppedInput {
    const float *samples, *curves, *exposure, *variance;
    long long n, curve_plane;
    int columns;
};

// Reads a problem; `good` is 1, or 0 where it cannot be fitted: it then gets the air, which settles at once.
template <class F, int NB, class Read>
DARKLANE_FN void read_problem(Read read, const SteppedInput& in, const Steps& steps, const Settings& s,
                              SteppedCurves<F> (&curve)[NB], SteppedData<F, NB>& data, F& good) {
    const F zero(0.0f), one(1.0f), highest(s.saturated_counts);
    good = one;
    const F variance_factor = read(in.variance, OF_COLUMNS);
    for (int b = 0; b < NB; ++b) {
        const auto field = [&](int f) { return read(in.curves + (f * NB + b) * in.curve_plane, OF_CURVES); };
        const auto take = [&](decltype(zero < one) usable, F value) {
            good = select(usable, good, zero);
            return select(usable, value, one);
        };
        F narrowest(3e38f);
        curve[b].mean_variance = zero;
        for (int i = 0; i < steps.ways; ++i) {
            const F area = field(i), centre = field(steps.ways + i), width = field(2 * steps.ways + i);
            curve[b].amplitude[i] = take((area > zero) & (area < highest), area) * F(0.39894228f);
            curve[b].centre[i] = take(magnitude(centre) < highest, centre);
            const F sd = take((width > zero) & (width < highest), width);
            curve[b].variance[i] = sd * sd;
            narrowest = minimum(narrowest, curve[b].variance[i]);
            curve[b].mean_variance = curve[b].mean_variance + curve[b].variance[i] * F(1.0f / static_cast<float>(steps.ways));
        }
        const F floor = field(3 * steps.ways);
        curve[b].floor = take((floor >= zero) & (floor < highest), floor);
        curve[b].dark_field_min = maximum(F(s.dark_field_min), narrowest * F(s.variance_fraction - 1.0f));
        for (int k = 0; k < steps.count; ++k) {
            const F exposure = read(in.exposure + static_cast<long long>(k) * in.columns, OF_COLUMNS);
            const F value = read(in.samples + (k * NB + b) * in.n, OF_PROBLEMS);
            data.y[b][k] = take((value > zero) & (value < highest), value) / exposure;
            data.gain[k] = exposure / variance_factor;
        }
    }
    for (int b = 0; b < NB; ++b) {
        F air[MAX_POSITIONS];
        air_of(curve[b], steps, air);
        for (int k = 0; k < steps.count; ++k) data.y[b][k] = select(good > zero, data.y[b][k], air[k]);
    }
}

}  // namespace DARKLANE_NAMESPACE
