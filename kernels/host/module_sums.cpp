// Phase sums in the Python module: the kernel itself, where columns lie on the grid, and taking complete columns out.
#include "module.hpp"

#include <nanobind/stl/optional.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace {

constexpr size_t COLUMNS = 128, GROUPS = 4;
constexpr double FAR = 1 << 28;  // grid columns further away than this are all alike: outside

void phase_sums(In<std::uint16_t, 4> frames, In<std::int32_t, 2> lower, In<float, 2> fraction,
                std::optional<In<std::uint8_t, 3>> good, Out<float, 4> sums, int capacity, int threads,
                const std::string& isa) {
    const size_t n = frames.shape(0), rows = frames.shape(2);
    require(frames.shape(1) == 2 && frames.shape(3) == COLUMNS, "frames");
    require(lower.shape(0) == n && lower.shape(1) == COLUMNS, "lower");
    require(fraction.shape(0) == n && fraction.shape(1) == COLUMNS, "fraction");
    require(!good || (good->shape(0) == 2 && good->shape(1) == rows && good->shape(2) == COLUMNS), "good_pixels");
    require(sums.shape(0) == 2 && sums.shape(1) == rows && sums.shape(3) == GROUPS, "sums");
    require(capacity > 0 && size_t(capacity) <= sums.shape(2), "capacity");
    const darklane_host::Kernels& chosen = kernels(isa);
    const darklane_host::PhaseSumsJob job{frames.data(), lower.data(), fraction.data(), good ? good->data() : nullptr,
                                          long(n),       long(rows),   capacity,        int(sums.shape(2)),
                                          sums.data(),   threads};
    nb::gil_scoped_release release;
    chosen.phase_sums(job);
}

// Place of every frame and column on the grid: column `lower` and `fraction` beyond it. In float64, because the belt
// travels for kilometres and what matters are fractions of a µm. Adds to `weights` Σ W and Σ W² of the grid columns.
// Returns the highest grid column that is reached; where that is outside, nothing was added. Raises ValueError for a travel
// that is not finite.
long place_columns(In<double, 1> travel, In<double, 1> offsets, double origin, double grid, long taken,
                   Out<std::int32_t, 2> lower, Out<float, 2> fraction, Out<double, 3> weights) {
    const size_t frames = travel.shape(0);
    const std::int32_t capacity = std::int32_t(weights.shape(2));
    require(offsets.shape(0) == COLUMNS, "offsets");
    require(lower.shape(0) == frames && lower.shape(1) == COLUMNS, "lower");
    require(fraction.shape(0) == frames && fraction.shape(1) == COLUMNS, "fraction");
    require(weights.shape(0) == 2 && weights.shape(1) == COLUMNS, "weights");
    for (size_t n = 0; n < frames; ++n) {
        if (std::isfinite(travel.data()[n])) continue;
        throw std::invalid_argument("travel_um: number " + std::to_string(n) + " is " + std::to_string(travel.data()[n]) +
                                    ", expected finite µm");
    }
    const auto place_of = [&](double belt, double offset) {
        const double place = (belt - offset - origin) / grid - double(taken);
        return place < -FAR ? -FAR : place > FAR ? FAR : place;
    };
    const auto whole = [](double place) {
        const std::int32_t below = std::int32_t(place);  // towards zero so far
        return below - (place < below);
    };
    if (frames == 0) return -long(FAR);
    // The column that looks furthest ahead, in the frame that is furthest on.
    const double furthest = *std::max_element(travel.data(), travel.data() + frames);
    const double ahead = *std::min_element(offsets.data(), offsets.data() + COLUMNS);
    const long highest = whole(place_of(furthest, ahead)) + 1;
    if (highest >= capacity) return highest;
    for (size_t i = 0; i < frames * COLUMNS; ++i) {
        const double place = place_of(travel.data()[i / COLUMNS], offsets.data()[i % COLUMNS]);
        const std::int32_t below = whole(place);
        const double far = place - below, near = 1 - far;
        lower.data()[i] = below;
        fraction.data()[i] = float(far);
        double* sum = weights.data() + i % COLUMNS * capacity + below;
        double* square = sum + COLUMNS * capacity;
        if (below >= 0) {
            sum[0] += near;
            square[0] += near * near;
        }
        if (below >= -1) {
            sum[1] += far;
            square[1] += far * far;
        }
    }
    return highest;
}

// The first `columns` of the sums, as `taken`; the rest of the `used` ones moves to the front, what they leave is zero.
void take_sums(Out<float, 4> sums, int capacity, int columns, int used, Out<float, 4> taken) {
    const size_t rows = sums.shape(1), cells = sums.shape(2), lines = 2 * rows;
    require(sums.shape(0) == 2 && sums.shape(3) == GROUPS, "sums");
    require(columns >= 0 && columns <= used && used <= capacity && size_t(capacity) <= cells, "columns");
    require(taken.shape(0) == GROUPS && taken.shape(1) == 2 && taken.shape(2) == rows && taken.shape(3) == size_t(columns),
            "taken");
    nb::gil_scoped_release release;
    for (size_t line = 0; line < lines; ++line) {
        float* const end = sums.data() + (line * cells + size_t(capacity)) * GROUPS;  // of column 0
        for (int j = 0; j < columns; ++j) {
            const float* from = end - size_t(j + 1) * GROUPS;
            for (size_t g = 0; g < GROUPS; ++g) taken.data()[(g * lines + line) * size_t(columns) + size_t(j)] = from[g];
        }
        float* const first = end - size_t(used) * GROUPS;
        std::memmove(first + size_t(columns) * GROUPS, first, size_t(used - columns) * GROUPS * sizeof(float));
        std::memset(first, 0, size_t(columns) * GROUPS * sizeof(float));
    }
}

}  // namespace

void bind_sums(nb::module_& m) {
    m.def("phase_sums", &phase_sums, nb::arg("frames"), nb::arg("lower"), nb::arg("fraction"), nb::arg("good").none(),
          nb::arg("sums"), nb::arg("capacity"), nb::arg("threads"), nb::arg("isa"));
    m.def("place_columns", &place_columns, nb::arg("travel"), nb::arg("offsets"), nb::arg("origin"), nb::arg("grid"),
          nb::arg("taken"), nb::arg("lower"), nb::arg("fraction"), nb::arg("weights"));
    m.def("take_sums", &take_sums, nb::arg("sums"), nb::arg("capacity"), nb::arg("columns"), nb::arg("used"),
          nb::arg("taken"));
}
