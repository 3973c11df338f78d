// The damped normal equations, solved by blocks: (s, v, z) of each bin are eliminated first, the t of both bins,
// which the prior couples, last. Also the covariances that follow from the same elimination.
#pragma once
#include "normal.cuh"

namespace DARKLANE_NAMESPACE {

// LDLᵀ of the 3 × 3 block of (s, v, z), and its columns against the t of every bin and the gradient, after L⁻¹.
template <class F, int NB> struct Eliminated {
    F i1, i2, i3, l21, l31, l32;
    F column[NB][3], gradient[3];
    F weakest;  // smallest pivot left of a unit diagonal: 0 is singular
};

template <class F> struct Step3 {
    F s, v, z;
};

template <class F, int NB> DARKLANE_FN void forward(const Eliminated<F, NB>& e, F (&x)[3]) {
    x[1] = x[1] - e.l21 * x[0];
    x[2] = x[2] - e.l31 * x[0] - e.l32 * x[1];
}

template <class F, int NB> DARKLANE_FN Step3<F> backward(const Eliminated<F, NB>& e, const F (&x)[3]) {
    Step3<F> r;
    r.z = x[2] * e.i3;
    r.v = x[1] * e.i2 - e.l32 * r.z;
    r.s = x[0] * e.i1 - e.l21 * r.v - e.l31 * r.z;
    return r;
}

// Eliminates (s, v, z) of bin B. `grow` = 1 + λ multiplies the diagonal.
template <int B, class F, int NB>
DARKLANE_FN void eliminate(const Normal<F>& n, const Tie<F, NB>& tie, float sd, F grow, Eliminated<F, NB>& e) {
    const F tiny(1e-30f), least(1e-7f);  // pivots of unknowns without effect (t = 0), and of rounding alone
    const float prior = NB == 2 ? 1.0f : 0.0f;
    const F p11 = n.ss * grow + tiny;
    const F p22 = n.vv * grow + tiny;
    const F p33 = (n.oo * F(sd * sd) + F(prior)) * grow + tiny;
    const F p13 = n.so * F(sd), p23 = n.vo * F(sd);
    e.i1 = F(1.0f) / p11;
    e.l21 = n.sv * e.i1;
    e.l31 = p13 * e.i1;
    const F d2 = maximum(p22 - e.l21 * n.sv, p22 * least);
    e.i2 = F(1.0f) / d2;
    const F q23 = p23 - e.l21 * p13;
    e.l32 = q23 * e.i2;
    const F d3 = maximum(p33 - e.l31 * p13 - e.l32 * q23, p33 * least);
    e.i3 = F(1.0f) / d3;
    e.weakest = minimum(d2 / p22, d3 / p33);
    DARKLANE_UNROLL for (int k = 0; k < NB; ++k) {
        e.column[k][0] = n.so * tie.slope[B][k];
        e.column[k][1] = n.vo * tie.slope[B][k];
        e.column[k][2] = n.oo * tie.slope[B][k] * F(sd);
    }
    e.column[B][0] = e.column[B][0] + n.ts;
    e.column[B][1] = e.column[B][1] + n.tv;
    e.column[B][2] = e.column[B][2] + n.to * F(sd);
    DARKLANE_UNROLL for (int k = 0; k < NB; ++k) forward(e, e.column[k]);
}

template <class F> DARKLANE_FN F weighted(const F (&a)[3], const F (&b)[3], F i1, F i2, F i3) {
    return a[0] * b[0] * i1 + a[1] * b[1] * i2 + a[2] * b[2] * i3;
}

// The t block before elimination: JᵀWJ of the columns ∂/∂t_k, through o as well.
template <int B, class F, int NB>
DARKLANE_FN void add_shared(const Normal<F>& n, const Tie<F, NB>& tie, F (&block)[NB][NB]) {
    DARKLANE_UNROLL for (int k = 0; k < NB; ++k) {
        const F through = n.oo * tie.slope[B][k];
        DARKLANE_UNROLL for (int m = 0; m < NB; ++m) block[k][m] = block[k][m] + through * tie.slope[B][m];
        block[k][B] = block[k][B] + n.to * tie.slope[B][k];
        block[B][k] = block[B][k] + n.to * tie.slope[B][k];
    }
    block[B][B] = block[B][B] + n.tt;
}

// The whole system of NB bins, factored.
template <class F, int NB> struct Factored {
    Eliminated<F, NB> own[NB];
    F inverse[NB][NB];  // of the Schur complement: covariance of the t
    F step_t[NB];
    F weakest;
};

template <class F> DARKLANE_FN F invert(const F (&a)[1][1], F (&inverse)[1][1], const F (&diagonal)[1]) {
    const F pivot = maximum(a[0][0], diagonal[0] * F(1e-7f));
    inverse[0][0] = F(1.0f) / pivot;
    return pivot / diagonal[0];
}

template <class F> DARKLANE_FN F invert(const F (&a)[2][2], F (&inverse)[2][2], const F (&diagonal)[2]) {
    const F least(1e-7f);
    const F first = maximum(a[0][0], diagonal[0] * least);
    const F ratio = a[0][1] / first;
    const F second = maximum(a[1][1] - ratio * a[0][1], diagonal[1] * least);
    inverse[1][1] = F(1.0f) / second;
    inverse[0][1] = inverse[1][0] = F(0.0f) - ratio * inverse[1][1];
    inverse[0][0] = F(1.0f) / first - ratio * inverse[0][1];
    return minimum(first / diagonal[0], second / diagonal[1]);
}

// The matrix of the system, factored. `lambda` damps it.
template <class F, int NB>
DARKLANE_FN void factor(const Normal<F> (&n)[NB], const Tie<F, NB>& tie, const Prior& prior, F lambda, Factored<F, NB>& out) {
    const F grow = lambda + F(1.0f);
    F block[NB][NB], diagonal[NB];
    DARKLANE_UNROLL for (int k = 0; k < NB; ++k) {
        DARKLANE_UNROLL for (int m = 0; m < NB; ++m) block[k][m] = F(0.0f);
    }
    add_shared<0>(n[0], tie, block);
    eliminate<0>(n[0], tie, sd_of<NB>(prior, 0), grow, out.own[0]);
    if constexpr (NB == 2) {
        add_shared<1>(n[1], tie, block);
        eliminate<1>(n[1], tie, sd_of<NB>(prior, 1), grow, out.own[1]);
    }
    DARKLANE_UNROLL for (int k = 0; k < NB; ++k) {
        block[k][k] = diagonal[k] = block[k][k] * grow + F(1e-30f);
    }
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        const Eliminated<F, NB>& e = out.own[b];
        DARKLANE_UNROLL for (int k = 0; k < NB; ++k) {
            DARKLANE_UNROLL for (int m = k; m < NB; ++m) {
                block[k][m] = block[k][m] - weighted(e.column[k], e.column[m], e.i1, e.i2, e.i3);
            }
        }
    }
    out.weakest = invert(block, out.inverse, diagonal);
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) out.weakest = minimum(out.weakest, out.own[b].weakest);
}

// The step of a factored system towards the right-hand side JᵀWr of `n`, and towards z = 0.
template <class F, int NB>
DARKLANE_FN void aim(const Normal<F> (&n)[NB], const Tie<F, NB>& tie, const Prior& prior, const F (&z)[NB],
                     Factored<F, NB>& out) {
    F gradient[NB];
    DARKLANE_UNROLL for (int k = 0; k < NB; ++k) gradient[k] = n[k].gt;
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        Eliminated<F, NB>& e = out.own[b];
        e.gradient[0] = n[b].gs;
        e.gradient[1] = n[b].gv;
        e.gradient[2] = n[b].go * F(sd_of<NB>(prior, b)) - z[b] * F(NB == 2 ? 1.0f : 0.0f);
        forward(e, e.gradient);
        DARKLANE_UNROLL for (int k = 0; k < NB; ++k) {
            gradient[k] = gradient[k] + n[b].go * tie.slope[b][k] - weighted(e.column[k], e.gradient, e.i1, e.i2, e.i3);
        }
    }
    DARKLANE_UNROLL for (int k = 0; k < NB; ++k) {
        out.step_t[k] = F(0.0f);
        DARKLANE_UNROLL for (int m = 0; m < NB; ++m) out.step_t[k] = out.step_t[k] + out.inverse[k][m] * gradient[m];
    }
}

// The step of (s, v, z) of bin b that belongs to the step of the t.
template <class F, int NB> DARKLANE_FN Step3<F> private_step(const Factored<F, NB>& f, int b) {
    const Eliminated<F, NB>& e = f.own[b];
    F rest[3];
    DARKLANE_UNROLL for (int i = 0; i < 3; ++i) {
        rest[i] = e.gradient[i];
        DARKLANE_UNROLL for (int k = 0; k < NB; ++k) rest[i] = rest[i] - e.column[k][i] * f.step_t[k];
    }
    return backward(e, rest);
}

}  // namespace DARKLANE_NAMESPACE
