// Retrieval on the processor: a tile of problems is started, iterated and finished with SIMD lanes over problems.
//
// Problems need from 2 to 30 iterations. A lane that has settled is given the next problem of the tile at once, so no
// lane waits for the slowest. Every problem is computed by the same instructions whatever its lane, tile or
// thread, so results do not depend on any of them.
#pragma once
#include "finish.cuh"
#include "isa.hpp"
#include "share.hpp"
#include "simd.hpp"
#include "tile.hpp"

#include <cstring>
#include <memory>

namespace DARKLANE_NAMESPACE {

static_assert(sizeof(Settings) == darklane_host::SETTINGS * sizeof(float), "isa.hpp: SETTINGS is not that of settings.cuh");

template <bool PAPER, int NB> class Retrieval {
  public:
    Retrieval(const darklane_host::RetrieveJob& job, const float* prepared)
        : job_(job), n_(job.rows * job.columns * (NB == 2 ? 1 : 2)), lines_(n_ / job.columns), prepared_(prepared) {
        std::memcpy(&settings_, job.settings, sizeof settings_);
        std::memcpy(&prior_, job.prior, sizeof prior_);
    }

    void run(long first, int count, Tile<NB>& tile) const {
        pack(first, count, tile);
        start_all(tile);
        iterate_all(tile);
        finish_all(first, tile);
        if constexpr (NB == 1) refine_all(first, tile);
    }

  private:
    // Samples over exposure. A bad problem gets the air of its row, which settles at once, and is blanked at the end.
    void pack(long first, int count, Tile<NB>& tile) const {
        tile.count = count;
        float scale[PADDED];
        long column = first % job_.columns, line = first / job_.columns;
        for (int i = 0; i < PADDED; ++i) {
            const bool real = i < count;
            scale[i] = real ? 1.0f / job_.exposure[column] : 1.0f;
            tile.gain[i] = real ? job_.exposure[column] / job_.variance[column] : 1.0f;
            tile.line[i] = static_cast<int>(line);
            tile.good[i] = real;
            if (real && i + 1 < count && ++column == job_.columns) {
                column = 0;
                ++line;
            }
        }
        for (int k = 0; k < NB * GROUPS; ++k) {
            const int group = k % GROUPS, bin = k / GROUPS;
            const float* plane = job_.samples + (group * NB + bin) * n_ + first;
            float* y = tile.y[k];
            for (int i = 0; i < count; ++i) {
                const float value = plane[i];
                tile.good[i] &= static_cast<unsigned char>((value > 0.0f) & (value < settings_.saturated_counts));
                y[i] = value * scale[i];
            }
        }
        for (int i = 0; i < PADDED; ++i) {
            if (tile.good[i]) continue;
            for (int k = 0; k < NB * GROUPS; ++k) {
                const long at = (k / GROUPS) * lines_ + tile.line[i];
                tile.y[k][i] = prepared_[CURVE_PREPARED * at + 14 + k % GROUPS];
            }
        }
    }

    void start_all(Tile<NB>& tile) const {
        LaneCurves<NB> curves(prepared_, lines_);
        for (int at = 0; at < tile.count; at += LANES) {
            curves.set_all(&tile.line[at]);
            Curve<Lanes> curve[NB];
            curves.get(curve);
            Data<Lanes, NB> data;
            get(tile, at, data);
            Point<Lanes, NB> p;
            start(data, curve, prior_, settings_, p);
            put<NB>(tile.point, at, p);
        }
    }

    void iterate_all(Tile<NB>& tile) const {
        LaneCurves<NB> curves(prepared_, lines_);
        alignas(64) int slot[LANES], rank[LANES];
        for (int lane = 0; lane < LANES; ++lane) {
            slot[lane] = lane;
            curves.set(lane, tile.line[lane]);
        }
        const int count = tile.count;
        int next = LANES;
        unsigned active = count >= LANES ? ~0u >> (32 - LANES) : (1u << count) - 1;
        Data<Lanes, NB> data;
        Point<Lanes, NB> from;
        State<Lanes, NB> state = {};
        get(tile, 0, data);
        get<NB>(tile.point, 0, from);
        begin(from, settings_, state);
        const Lanes limit(settings_.max_iterations);
        while (active != 0) {
            Curve<Lanes> curve[NB];
            curves.get(curve);
            const Mask settled = iterate<PAPER>(data, curve, prior_, settings_, state);
            const unsigned good = bits(settled);
            const unsigned done = (good | bits(state.iterations >= limit)) & active;
            if (done == 0) continue;
            float result[4 * NB][LANES];
            put<NB>(result, 0, state.trial);
            const int base = next;
            for (int lane = 0; lane < LANES; ++lane) rank[lane] = 0;
            IntVector fresh = {};
            for (unsigned left = done; left != 0; left &= left - 1) {
                const int lane = __builtin_ctz(left);
                const int at = slot[lane];
                for (int k = 0; k < 4 * NB; ++k) tile.point[k][at] = result[k][lane];
                tile.converged[at] = (good >> lane & 1) != 0 ? 1.0f : 0.0f;
                if (next < count) {
                    slot[lane] = next;
                    rank[lane] = next - base;
                    fresh[lane] = -1;
                    curves.set(lane, tile.line[next]);
                    ++next;
                } else {
                    active &= ~(1u << lane);
                }
            }
            if (next == base) continue;
            IntVector index;
            std::memcpy(&index, rank, sizeof index);
            refill(tile, base, Mask{fresh}, index, data, state);
        }
    }

    // Lanes of `fresh` take the problems base + index.
    DARKLANE_FN void refill(const Tile<NB>& tile, int base, Mask fresh, IntVector index, Data<Lanes, NB>& data,
                            State<Lanes, NB>& state) const {
        Data<Lanes, NB> next;
        Point<Lanes, NB> from;
        get(tile, base, next);
        get<NB>(tile.point, base, from);
        DARKLANE_UNROLL for (int b = 0; b < NB; ++b) {
            DARKLANE_UNROLL for (int g = 0; g < GROUPS; ++g) {
                data.y[b][g] = select(fresh, shuffle(next.y[b][g], index), data.y[b][g]);
                state.normal[b].weight[g] = select(fresh, Lanes(0.0f), state.normal[b].weight[g]);
            }
            state.trial.t[b] = select(fresh, shuffle(from.t[b], index), state.trial.t[b]);
            state.trial.s[b] = select(fresh, shuffle(from.s[b], index), state.trial.s[b]);
            state.trial.v[b] = select(fresh, shuffle(from.v[b], index), state.trial.v[b]);
            state.trial.z[b] = select(fresh, shuffle(from.z[b], index), state.trial.z[b]);
        }
        data.gain = select(fresh, shuffle(next.gain, index), data.gain);
        State<Lanes, NB> blank = {};
        begin(from, settings_, blank);
        state.cost = select(fresh, blank.cost, state.cost);
        state.lambda = select(fresh, blank.lambda, state.lambda);
        state.iterations = select(fresh, blank.iterations, state.iterations);
    }

    void finish_all(long first, Tile<NB>& tile) const {
        LaneCurves<NB> curves(prepared_, lines_);
        tile.weak_count = 0;
        const float nan = __builtin_nanf("");
        for (int at = 0; at < tile.count; at += LANES) {
            curves.set_all(&tile.line[at]);
            Curve<Lanes> curve[NB];
            curves.get(curve);
            Data<Lanes, NB> data;
            get(tile, at, data);
            Point<Lanes, NB> p;
            get<NB>(tile.point, at, p);
            Outcome<Lanes, NB> out;
            finish<PAPER>(data, curve, prior_, settings_, p, load(&tile.converged[at]), out);
            const int valid = tile.count - at < LANES ? tile.count - at : LANES;
            if constexpr (NB == 1) {
                if (const unsigned weak = bits(out.weak > Lanes(0.0f))) {
                    put<NB>(tile.point, at, out.fitted);
                    for (int i = 0; i < valid; ++i) {
                        if ((weak >> i & 1) != 0 && tile.good[at + i]) tile.weak[tile.weak_count++] = at + i;
                    }
                }
            }
            for (int k = 0; k < 4 * NB; ++k) {
                float image[LANES], sigma[LANES];
                store(image, out.image[k / NB][k % NB]);
                store(sigma, out.sigma[k / NB][k % NB]);
                float* to_image = job_.images + k * n_ + first + at;
                float* to_sigma = job_.sigma + k * n_ + first + at;
                for (int i = 0; i < valid; ++i) {
                    to_image[i] = tile.good[at + i] ? image[i] : nan;
                    to_sigma[i] = tile.good[at + i] ? sigma[i] : nan;
                }
            }
            for (int b = 0; b < NB; ++b) {
                float flags[LANES];
                store(flags, out.flags[b]);
                std::uint16_t* to = job_.flags + b * n_ + first + at;
                for (int i = 0; i < valid; ++i) {
                    to[i] = static_cast<std::uint16_t>(tile.good[at + i] ? static_cast<int>(flags[i]) : BAD_INPUT);
                }
            }
        }
    }

    void refine_all(long first, const Tile<NB>& tile) const {
        LaneCurves<NB> curves(prepared_, lines_);
        float given[CURVE_INPUTS][LANES], counts[GROUPS][LANES], exposure[LANES], gain[LANES], point[4][LANES];
        int line[LANES];
        for (int& of : line) of = -1;
        for (int from = 0; from < tile.weak_count; from += LANES) {
            const int valid = tile.weak_count - from < LANES ? tile.weak_count - from : LANES;
            for (int lane = 0; lane < LANES; ++lane) {
                const int at = tile.weak[from + (lane < valid ? lane : 0)];
                if (tile.line[at] != line[lane]) {
                    line[lane] = tile.line[at];
                    curves.set(lane, line[lane]);
                    for (int k = 0; k < CURVE_INPUTS; ++k) given[k][lane] = job_.curves[CURVE_INPUTS * line[lane] + k];
                }
                for (int g = 0; g < GROUPS; ++g) counts[g][lane] = job_.samples[g * n_ + first + at];
                for (int k = 0; k < 4; ++k) point[k][lane] = tile.point[k][at];
                exposure[lane] = job_.exposure[first + at - line[lane] * job_.columns];
                gain[lane] = tile.gain[at];
            }
            Curve<Lanes> curve[NB];
            curves.get(curve);
            Given<Lanes> in;
            for (int k = 0; k < CURVE_INPUTS; ++k) in.curve[k] = load(given[k]);
            for (int g = 0; g < GROUPS; ++g) in.counts[g] = load(counts[g]);
            in.x = Lanes(job_.x);
            in.exposure = load(exposure);
            Point<Lanes, NB> p = {{load(point[0])}, {load(point[1])}, {load(point[2])}, {load(point[3])}};
            refine<PAPER>(in, load(gain), curve, prior_, settings_, p);
            float refined[4][LANES];
            put<NB>(refined, 0, p);
            for (int k = 0; k < 4; ++k) {
                float* to = job_.images + k * n_ + first;
                for (int i = 0; i < valid; ++i) to[tile.weak[from + i]] += refined[k][i] - point[k][i];
            }
        }
    }

    const darklane_host::RetrieveJob& job_;
    const long n_, lines_;
    const float* prepared_;
    Settings settings_;
    Prior prior_;
};

template <bool PAPER, int NB> void retrieve_model(const darklane_host::RetrieveJob& job) {
    Settings settings;
    std::memcpy(&settings, job.settings, sizeof settings);
    const long lines = 2 * job.rows;
    float* prepared = new float[static_cast<unsigned long>(lines) * CURVE_PREPARED];
    for (long i = 0; i < lines; ++i) {
        const Curve<float> curve = prepare<PAPER>(job.curves + CURVE_INPUTS * i, job.x, settings);
        std::memcpy(prepared + CURVE_PREPARED * i, &curve, sizeof curve);
    }
    // Every thread has its constants on its own stack, next to nothing that another one writes, and keeps its tile from call
    // to call: memory that goes back to the system comes anew page by page, and the other threads are stopped for it.
    const auto make = [&] {
        static thread_local const std::unique_ptr<Tile<NB>> tile(new Tile<NB>);
        return [work = Retrieval<PAPER, NB>(job, prepared), at = tile.get()](long first, int count) { work.run(first, count, *at); };
    };
    share(job.rows * job.columns * (NB == 2 ? 1 : 2), job.threads, TILE, LEAST, make);
    delete[] prepared;
}

void retrieve(const darklane_host::RetrieveJob& job) {
    if (job.rows == 0 || job.columns == 0) return;
    if (job.model == 0) retrieve_model<true, 1>(job);
    if (job.model == 1) retrieve_model<false, 1>(job);
    if (job.model == 2) retrieve_model<false, 2>(job);
}

}  // namespace DARKLANE_NAMESPACE
