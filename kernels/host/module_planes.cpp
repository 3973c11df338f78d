// Input of the networks in the Python module: planes written where the runtime reads them, and rows moved together.
#include "module.hpp"

#include <algorithm>
#include <cstring>

namespace {

// Rows without gaps, anything else in any distance.
template <class T, int D> using Lines = nb::ndarray<T, nb::ndim<D>, nb::device::cpu>;

constexpr size_t CHANNELS = 4, BINS = 2, PLANES = 2 * CHANNELS * BINS + 1;

void network_planes(Lines<const float, 4> images, Lines<const float, 4> sigma, Lines<const std::uint16_t, 3> flags,
                    In<std::uint8_t, 1> logarithmic, In<float, 2> limits, float floor, std::uint16_t unusable, Lines<float, 3> planes, const std::string& isa) {
    const size_t rows = images.shape(2), columns = images.shape(3);
    const auto gapless = [&](const auto& array) { return columns < 2 || array.stride(array.ndim() - 1) == 1; };
    const auto of = [&](const auto& array) {
        return array.shape(0) == CHANNELS && array.shape(1) == BINS && array.shape(2) == rows &&
               array.shape(3) == columns && gapless(array);
    };
    require(of(images), "images");
    require(of(sigma), "sigma");
    require(flags.shape(0) == BINS && flags.shape(1) == rows && flags.shape(2) == columns && gapless(flags), "flags");
    require(logarithmic.shape(0) == CHANNELS, "logarithmic");
    require(limits.shape(0) == CHANNELS && limits.shape(1) == 2, "limits");
    require(planes.shape(0) == PLANES && planes.shape(1) == rows && planes.shape(2) >= columns && gapless(planes), "out");
    const darklane_host::Kernels& chosen = kernels(isa);
    const darklane_host::NetworkPlanesJob job{
        images.data(), sigma.data(), flags.data(), logarithmic.data(), limits.data(), floor, unusable,
        {long(images.stride(0)), long(images.stride(1)), long(images.stride(2))},
        {long(sigma.stride(0)), long(sigma.stride(1)), long(sigma.stride(2))},
        {long(flags.stride(0)), long(flags.stride(1))},
        long(rows), long(columns), long(planes.shape(2)), planes.data(), {long(planes.stride(0)), long(planes.stride(1))}};
    nb::gil_scoped_release release;
    chosen.network_planes(job);
}

// Moves a row of `kept` floats to where it overwrites nothing that is still to be moved, and reads the rest of its `width`:
// processors fetch ahead what is read without gaps, in half the time that the kept parts alone would take. Returns what it
// read, so that no compiler leaves it out.
float move_row(float* to, const float* from, size_t kept, size_t width) {
    struct Line {
        float of[16];
    };
    constexpr size_t LINE = sizeof(Line) / sizeof(float);
    size_t at = 0;
    for (; at + LINE <= kept; at += LINE) {
        Line line;
        std::memcpy(&line, from + at, sizeof line);
        std::memcpy(to + at, &line, sizeof line);
    }
    std::memmove(to + at, from + at, (kept - at) * sizeof(float));
    float read = 0;
    for (at += LINE; at < width; at += LINE) read += from[at];
    return read;
}

// Rows of `width` floats become rows of `narrow`, in place: their first `kept` floats, then zeros.
void pack_rows(Out<float, 1> memory, size_t width, size_t kept, size_t narrow) {
    require(kept <= narrow && narrow <= width && width > 0 && memory.shape(0) % width == 0, "memory");
    const size_t rows = memory.shape(0) / width;
    nb::gil_scoped_release release;
    for (size_t row = 0; row < rows; ++row) {
        float* const to = memory.data() + row * narrow;
        [[maybe_unused]] volatile float read = move_row(to, memory.data() + row * width, kept, width);
        std::memset(to + kept, 0, (narrow - kept) * sizeof(float));
    }
}

}  // namespace

void bind_planes(nb::module_& m) {
    m.def("network_planes", &network_planes, nb::arg("images"), nb::arg("sigma"), nb::arg("flags"), nb::arg("logarithmic"),
          nb::arg("limits"), nb::arg("floor"), nb::arg("unusable"),
          nb::arg("planes"), nb::arg("isa"));
    m.def("pack_rows", &pack_rows, nb::arg("memory"), nb::arg("width"), nb::arg("kept"), nb::arg("narrow"));
}
