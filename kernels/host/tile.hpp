// Where the problems of a tile wait, and how they move between memory and lanes.
#pragma once
#include "normal.cuh"
#include "simd.hpp"

namespace DARKLANE_NAMESPACE {

constexpr int TILE = 2048;
constexpr int LEAST = 512;  // problems worth taking alone at the end
constexpr int PADDED = TILE + 2 * LANES;

// One tile, a plane per quantity.
template <int NB> struct Tile {
    alignas(64) float y[NB * GROUPS][PADDED];
    float gain[PADDED];
    float point[4 * NB][PADDED];
    float converged[PADDED];
    int line[PADDED];
    unsigned char good[PADDED];
    int count;
    int weak[TILE];  // the problems that refine() is for
    int weak_count;
};

// The curves of each lane, loaded again only where a lane moves to another row.
template <int NB> class LaneCurves {
  public:
    LaneCurves(const float* prepared, long lines) : prepared_(prepared), lines_(lines) {
        for (int& line : line_) line = -1;
    }

    void set(int lane, int line) {
        if (line_[lane] == line) return;
        line_[lane] = line;
        for (int b = 0; b < NB; ++b) {
            const float* from = prepared_ + CURVE_PREPARED * (b * lines_ + line);
            for (int k = 0; k < CURVE_PREPARED; ++k) values_[b][k][lane] = from[k];
        }
    }

    void set_all(const int* lines) {
        for (int lane = 0; lane < LANES; ++lane) set(lane, lines[lane]);
    }

    DARKLANE_FN void get(Curve<Lanes> (&curve)[NB]) const {
        for (int b = 0; b < NB; ++b) {
            const auto& v = values_[b];
            DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) {
                curve[b].amplitude[g] = load(v[g]);
                curve[b].offset[g] = load(v[4 + g]);
                curve[b].variance[g] = load(v[8 + g]);
                curve[b].air[g] = load(v[14 + g]);
            }
            curve[b].floor = load(v[12]);
            curve[b].dark_field_min = load(v[13]);
        }
    }

  private:
    const float* prepared_;
    long lines_;
    int line_[LANES];
    alignas(64) float values_[NB][CURVE_PREPARED][LANES];
};

template <int NB> DARKLANE_FN void get(const Tile<NB>& tile, int at, Data<Lanes, NB>& data) {
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) data.y[b][g] = load(&tile.y[b * GROUPS + g][at]);
    }
    data.gain = load(&tile.gain[at]);
}

template <int NB> DARKLANE_FN void get(const float (&planes)[4 * NB][PADDED], int at, Point<Lanes, NB>& p) {
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        p.t[b] = load(&planes[b][at]);
        p.s[b] = load(&planes[NB + b][at]);
        p.v[b] = load(&planes[2 * NB + b][at]);
        p.z[b] = load(&planes[3 * NB + b][at]);
    }
}

template <int NB, int N> DARKLANE_FN void put(float (&planes)[4 * NB][N], int at, const Point<Lanes, NB>& p) {
    DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
        store(&planes[b][at], p.t[b]);
        store(&planes[NB + b][at], p.s[b]);
        store(&planes[2 * NB + b][at], p.v[b]);
        store(&planes[3 * NB + b][at], p.z[b]);
    }
}

}  // namespace DARKLANE_NAMESPACE
