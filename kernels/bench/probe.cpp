// What this machine's floating-point units can do, and how many operations a retrieval needs. Built and loaded by
// native.py when the benchmark runs; not part of the installed extension.
// As the GPU compilers see the templates: functions that need not be inlined and loops that need not be unrolled, which
// counts the same and compiles in a fraction of the time.
#define __CUDACC__
#define __host__
#define __device__
#define __forceinline__ inline
#include "finish.cuh"

namespace {

// A float that counts what is done with it; the kernels are templates, so this counts exactly their operations.
struct Counted {
    float v = 0.0f;
    Counted() = default;
    explicit Counted(float x) : v(x) {}
};
struct CountedInt {
    int i;
};
long sums, products, quotients, others;  // others: comparisons, selections, integer work

Counted operator+(Counted a, Counted b) { ++sums; return Counted(a.v + b.v); }
Counted operator-(Counted a, Counted b) { ++sums; return Counted(a.v - b.v); }
Counted operator*(Counted a, Counted b) { ++products; return Counted(a.v * b.v); }
Counted operator/(Counted a, Counted b) { ++quotients; return Counted(a.v / b.v); }
bool operator<(Counted a, Counted b) { ++others; return a.v < b.v; }
bool operator>(Counted a, Counted b) { ++others; return a.v > b.v; }
bool operator<=(Counted a, Counted b) { ++others; return a.v <= b.v; }
bool operator>=(Counted a, Counted b) { ++others; return a.v >= b.v; }
bool operator==(Counted a, Counted b) { ++others; return a.v == b.v; }
Counted select(bool mask, Counted a, Counted b) { ++others; return mask ? a : b; }
CountedInt operator+(CountedInt a, CountedInt b) { ++others; return {a.i + b.i}; }
CountedInt operator-(CountedInt a, CountedInt b) { ++others; return {a.i - b.i}; }
CountedInt operator-(CountedInt a, int b) { ++others; return {a.i - b}; }
CountedInt operator-(int a, CountedInt b) { ++others; return {a - b.i}; }
CountedInt operator>>(CountedInt a, int by) { ++others; return {a.i >> by}; }
CountedInt shift_left(CountedInt a, int by) { ++others; return {darklane::shift_left(a.i, by)}; }
CountedInt bits_of(Counted x) { return {darklane::bits_of(x.v)}; }
Counted float_of(CountedInt a) { return Counted(darklane::float_of(a.i)); }
Counted to_float(CountedInt a) { ++others; return Counted(darklane::to_float(a.i)); }

Counted rounded_product(Counted a, Counted b) { return a * b; }
Counted product_rest(Counted a, Counted b, Counted p) { ++sums; ++products; return Counted(darklane::product_rest(a.v, b.v, p.v)); }

using namespace darklane;

Curve<Counted> counted(const Curve<float>& from) {
    Curve<Counted> to;
    for (int g = 0; g < GROUPS; ++g) {
        to.amplitude[g] = Counted(from.amplitude[g]);
        to.offset[g] = Counted(from.offset[g]);
        to.variance[g] = Counted(from.variance[g]);
        to.air[g] = Counted(from.air[g]);
    }
    to.floor = Counted(from.floor);
    to.dark_field_min = Counted(from.dark_field_min);
    return to;
}

// `n` problems of NB bins, samples (n, NB, 4) over exposure; returns the iterations of all.
template <bool PAPER, int NB>
long run(long n, const float* samples, float gain, const float* curves, float x, const Prior& prior, const Settings& s) {
    Curve<Counted> curve[NB];
    for (int b = 0; b < NB; ++b) curve[b] = counted(prepare<PAPER>(curves + CURVE_INPUTS * b, x, s));
    long iterations = 0;
    for (long i = 0; i < n; ++i) {
        Data<Counted, NB> data;
        for (int k = 0; k < NB * GROUPS; ++k) data.y[k / GROUPS][k % GROUPS] = Counted(samples[i * NB * GROUPS + k]);
        data.gain = Counted(gain);
        Point<Counted, NB> p;
        start(data, curve, prior, s, p);
        State<Counted, NB> state = {};
        begin(p, s, state);
        bool settled = false;
        while (!settled && state.iterations.v < s.max_iterations) {
            settled = iterate<PAPER>(data, curve, prior, s, state);
            ++iterations;
        }
        Outcome<Counted, NB> out;
        finish<PAPER>(data, curve, prior, s, state.trial, Counted(settled ? 1.0f : 0.0f), out);
        if constexpr (NB == 1) {
            if (out.weak.v == 0.0f) continue;
            Given<Counted> in;
            for (int k = 0; k < CURVE_INPUTS; ++k) in.curve[k] = Counted(curves[k]);
            for (int g = 0; g < GROUPS; ++g) in.counts[g] = Counted(samples[i * GROUPS + g] * gain);
            in.x = Counted(x);
            in.exposure = Counted(gain);
            refine<PAPER>(in, data.gain, curve, prior, s, out.fitted);
        }
    }
    return iterations;
}

constexpr int WIDE = 16;      // floats of a vector; the compiler splits it where registers are narrower
constexpr int CHAINS = 12;    // independent chains: more than latency times units, as many as there are registers
typedef float Wide __attribute__((vector_size(4 * WIDE)));

}  // namespace

extern "C" {

// counts: additions, multiplications, divisions, other operations, iterations of all problems.
void count_operations(int model, long n, const float* samples, float gain, const float* curves, float x,
                      const float* prior, const float* settings, long* counts) {
    Settings s;
    Prior p;
    __builtin_memcpy(&s, settings, sizeof s);
    __builtin_memcpy(&p, prior, sizeof p);
    sums = products = quotients = others = 0;
    const long iterations = model == 0   ? run<true, 1>(n, samples, gain, curves, x, p, s)
                            : model == 1 ? run<false, 1>(n, samples, gain, curves, x, p, s)
                                         : run<false, 2>(n, samples, gain, curves, x, p, s);
    const long all[] = {sums, products, quotients, others, iterations};
    __builtin_memcpy(counts, all, sizeof all);
}

// Fused multiply-adds in registers only; returns how many floating-point operations were done.
double multiply_add(long rounds, float* out) {
    Wide a[CHAINS];
    Wide factor, term;
    for (int i = 0; i < WIDE; ++i) {
        factor[i] = 0.999f + out[0];  // unknown to the compiler
        term[i] = 1e-3f + out[0];
    }
    for (int k = 0; k < CHAINS; ++k) a[k] = factor * static_cast<float>(k);
    for (long r = 0; r < rounds; ++r) {
#pragma GCC unroll 12
        for (int k = 0; k < CHAINS; ++k) a[k] = a[k] * factor + term;
    }
    Wide total = a[0];
    for (int k = 1; k < CHAINS; ++k) total += a[k];
    for (int i = 0; i < WIDE; ++i) out[i] = total[i];
    return 2.0 * WIDE * CHAINS * static_cast<double>(rounds);
}
}
