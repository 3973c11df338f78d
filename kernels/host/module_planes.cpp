// Input of the networks in the Python module: planes written where the runtime reads them, and rows moved together.
#include "module.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

namespace {

// Rows without gaps, anything else in any distance.
template <class T, int D> using Lines = nb::ndarray<T, nb::ndim<D>, nb::device::cpu>;

using Images = Lines<const float, 4>;
using Flags = Lines<const std::uint16_t, 3>;

constexpr size_t CHANNELS = 4, BINS = 2, PLANES = 2 * CHANNELS * BINS + 1;

// What one argument of a slab is, or ValueError that names it.
template <class Array> Array part_of(nb::handle slab, size_t index, const char* name) {
    Array array;
    require(nb::try_cast(nb::object(slab[index]), array), name);
    return array;
}

// Slabs lie side by side in the planes, from column `first` of the first slab on.
void network_planes(nb::list slabs, size_t first, In<std::uint8_t, 1> logarithmic, In<float, 2> limits, float floor,
                    std::uint16_t unusable, Lines<float, 3> planes, const std::string& isa) {
    const size_t rows = planes.shape(1), wide = planes.shape(2);
    const auto gapless = [](const auto& array) {
        return array.shape(array.ndim() - 1) < 2 || array.stride(array.ndim() - 1) == 1;
    };
    require(logarithmic.shape(0) == CHANNELS, "logarithmic");
    require(limits.shape(0) == CHANNELS && limits.shape(1) == 2, "limits");
    require(planes.shape(0) == PLANES && gapless(planes), "out");
    std::vector<Images> kept;  // with the arrays, until all is done
    std::vector<Flags> kept_flags;
    std::vector<darklane_host::NetworkPlanesJob> jobs;
    size_t at = 0;
    for (nb::handle slab : slabs) {
        const Images images = part_of<Images>(slab, 0, "images"), sigma = part_of<Images>(slab, 1, "sigma");
        const Flags flags = part_of<Flags>(slab, 2, "flags");
        const size_t columns = images.shape(3);
        const auto of = [&](const Images& array) {
            return array.shape(0) == CHANNELS && array.shape(1) == BINS && array.shape(2) == rows &&
                   array.shape(3) == columns && gapless(array);
        };
        require(of(images), "images");
        require(of(sigma), "sigma");
        require(flags.shape(0) == BINS && flags.shape(1) == rows && flags.shape(2) == columns && gapless(flags), "flags");
        require(first <= columns, "first");
        require(at < wide || columns == first, "out");
        const size_t count = std::min(columns - first, wide - at);
        jobs.push_back({images.data() + first, sigma.data() + first, flags.data() + first, logarithmic.data(),
                        limits.data(), floor, unusable,
                        {long(images.stride(0)), long(images.stride(1)), long(images.stride(2))},
                        {long(sigma.stride(0)), long(sigma.stride(1)), long(sigma.stride(2))},
                        {long(flags.stride(0)), long(flags.stride(1))},
                        long(rows), long(count), long(count), planes.data() + at,
                        {long(planes.stride(0)), long(planes.stride(1))}});
        kept.insert(kept.end(), {images, sigma});
        kept_flags.push_back(flags);
        at += count;
        first = 0;
    }
    if (jobs.empty()) return;
    jobs.back().wide += long(wide - at);
    const darklane_host::Kernels& chosen = kernels(isa);
    nb::gil_scoped_release release;
    for (const auto& job : jobs) chosen.network_planes(job);
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
    m.def("network_planes", &network_planes, nb::arg("slabs"), nb::arg("first"), nb::arg("logarithmic"),
          nb::arg("limits"), nb::arg("floor"), nb::arg("unusable"), nb::arg("planes"), nb::arg("isa"));
    m.def("pack_rows", &pack_rows, nb::arg("memory"), nb::arg("width"), nb::arg("kept"), nb::arg("narrow"));
}
