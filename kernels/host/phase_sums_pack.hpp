// Brings the rows of the next strip close to the processor while those of the present one are added up.
#pragma once
#include <cstdint>

#include "phase_sums.cuh"
#include "simd.hpp"

namespace DARKLANE_NAMESPACE {

constexpr int STRIP = 16;    // rows of one piece of work
constexpr int TOGETHER = 4;  // rows that go through the registers together
constexpr int SPAN = 32;     // columns in a line of the cache
constexpr int AHEAD = 64;    // lines that are asked for before they are moved
constexpr int SPANS = DETECTOR_COLUMNS / SPAN;

struct CacheLine {
    std::uint16_t of[SPAN];
};

// Where a line of a strip goes: strips are used in the order (STRIP / TOGETHER, SPANS, frames, TOGETHER, SPAN). As the
// frames lie, a power of two apart, their lines would push each other out of the cache.
struct Places {
    int of[STRIP * SPANS];

    explicit Places(int frames) {
        for (int i = 0; i < STRIP * SPANS; ++i) {
            const int row = i / SPANS, span = i % SPANS;
            of[i] = (row / TOGETHER * SPANS + span) * frames * TOGETHER + row % TOGETHER;
        }
    }
};

// Copies a strip of every frame, line by line. Small, so that a copy of it lives in registers.
struct Packer {
    const CacheLine* from;
    CacheLine* to;
    const int* places;
    long frame, lines, at, left;  // in lines: between frames, of a frame's strip, present one, all to come

    DARKLANE_FN void move() {
        if (left == 0) return;
        --left;
        const long ahead = at + AHEAD;
        __builtin_prefetch(from + (ahead < lines ? ahead : ahead - lines + frame));
        const CacheLine* source = from + at;
        CacheLine* target = to + places[at];
        constexpr int step = LANES < SPAN / 2 ? 2 * LANES : SPAN;
        DARKLANE_UNROLL for (int i = 0; i < SPAN; i += step) store_line(target->of + i, source->of + i);
        if (++at == lines) {
            at = 0;
            from += frame;
            to += TOGETHER;
        }
    }

    void finish() {
        while (left != 0) move();
    }

  private:
    DARKLANE_FN static void store_line(std::uint16_t* to, const std::uint16_t* from) {
        FloatVector v;
        __builtin_memcpy(&v, from, sizeof v);
        __builtin_memcpy(to, &v, sizeof v);
    }
};

}  // namespace DARKLANE_NAMESPACE
