// Python entry points; shapes are checked here, the work is in the headers.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <tuple>

#include "frames.hpp"
#include "poisson.hpp"
#include "transport.hpp"

namespace nb = nanobind;
using namespace nb::literals;

template <int N> using In = nb::ndarray<const float, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
template <int N> using Out = nb::ndarray<float, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
using Counts = nb::ndarray<std::uint16_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using SegmentArgument = std::tuple<double, double, In<4>>;

static void require(bool condition, const char* message) {
    if (!condition) throw std::invalid_argument(message);
}

static void moments(In<3> maps, In<2> basis, In<2> weights, Out<4> out) {
    const int n_basis = static_cast<int>(basis.shape(1)), n_e = static_cast<int>(basis.shape(0));
    require(n_basis <= transport::kMaxBasis, "basis: too many functions");
    require(maps.shape(1) == static_cast<std::size_t>(n_basis) + 3, "maps: needs shape (u, basis + 3, rows)");
    require(weights.shape(0) == basis.shape(0) && weights.shape(1) == transport::kWeights, "weights: needs (energies, 10)");
    require(out.shape(0) == maps.shape(0) && out.shape(1) == 2 && out.shape(2) == 4 && out.shape(3) == maps.shape(2),
            "out: needs shape (u, 2, 4, rows)");
    nb::gil_scoped_release release;
    transport::moments(maps.data(), maps.shape(0), maps.shape(2), n_basis, basis.data(), weights.data(), n_e, out.data());
}

static void expected(In<4> images, In<2> curve, float scale, float dv, float dx, In<2> x_rows, In<1> peak, In<1> floor_,
                     Out<4> out, std::size_t u0) {
    const std::size_t n_u = images.shape(0), rows = images.shape(3);
    require(images.shape(1) == 2 && images.shape(2) == 4, "images: needs shape (u, 2, 4, rows)");
    require(x_rows.shape(0) == 4 && x_rows.shape(1) == rows, "x_rows: needs shape (4, rows)");
    require(peak.shape(0) == 2 && floor_.shape(0) == 2, "peak, floor: need shape (2,)");
    require(out.shape(0) == 2 && out.shape(2) == 4 && out.shape(3) == rows && u0 + n_u <= out.shape(1),
            "out: needs shape (2, u, 4, rows) with room for the images");
    require(curve.shape(0) >= 2 && curve.shape(1) >= 3, "curve: too small");
    const transport::CurveTable table{curve.data(), static_cast<int>(curve.shape(0)), static_cast<int>(curve.shape(1)) - 1,
                                      scale, dv, dx};
    nb::gil_scoped_release release;
    transport::expected(images.data(), n_u, rows, table, x_rows.data(), peak.data(), floor_.data(), out.data(),
                        out.shape(1), u0);
}

class FrameCore {
  public:
    FrameCore(std::vector<double> offsets_um, In<3> gain, std::vector<std::uint32_t> hot, float hot_counts,
              std::uint64_t seed)
        : core_(check(gain, offsets_um, hot), offsets_um, std::vector<float>(gain.data(), gain.data() + gain.size()), hot,
                hot_counts, seed) {}

    void frame(double start_um, double stop_um, const std::vector<SegmentArgument>& segments, In<3> air, float scale,
               Counts out) {
        require(air.shape(0) == 2 && air.shape(1) == frames::kGroups && air.shape(2) == core_.rows(),
                "air: needs shape (2, 4, rows)");
        require(out.shape(0) == 2 && out.shape(1) == core_.rows() && out.shape(2) == core_.columns(),
                "out: needs shape (2, rows, columns)");
        std::vector<frames::Segment> parts;
        for (const auto& [first_um, du_um, array] : segments) {
            require(array.shape(0) == 2 && array.shape(2) == frames::kGroups && array.shape(3) == core_.rows(),
                    "segment: needs shape (2, u, 4, rows)");
            require(du_um > 0.0, "segment: du_um must be positive");
            parts.push_back({array.data(), array.shape(1), first_um, du_um});
        }
        nb::gil_scoped_release release;
        core_.frame(start_um, stop_um, parts, air.data(), scale, out.data());
    }

  private:
    static std::size_t check(const In<3>& gain, const std::vector<double>& offsets, const std::vector<std::uint32_t>& hot) {
        require(gain.shape(0) == 2 && gain.shape(2) == offsets.size(), "gain: needs shape (2, rows, columns)");
        for (const std::uint32_t index : hot) require(index < gain.size(), "hot: index outside the frame");
        return gain.shape(1);
    }
    frames::Renderer core_;
};

static void poisson_fill(In<1> means, std::uint64_t seed, nb::ndarray<std::uint16_t, nb::ndim<1>, nb::c_contig> out) {
    require(means.shape(0) == out.shape(0), "out: needs the shape of means");
    static const poisson::Sampler sampler;
    nb::gil_scoped_release release;
    poisson::Random random(seed);
    for (std::size_t i = 0; i < means.shape(0); ++i) out.data()[i] = static_cast<std::uint16_t>(sampler(means.data()[i], random));
}

NB_MODULE(_native, module) {
    module.doc() = "Compiled parts of the emulated scanner.";
    module.def("moments", &moments, "maps"_a, "basis"_a, "weights"_a, "out"_a);
    module.def("expected", &expected, "images"_a, "curve"_a, "scale"_a, "dv"_a, "dx"_a, "x_rows"_a, "peak"_a, "floor"_a,
               "out"_a, "u0"_a);
    module.def("poisson_fill", &poisson_fill, "means"_a, "seed"_a, "out"_a);
    nb::class_<FrameCore>(module, "FrameCore")
        .def(nb::init<std::vector<double>, In<3>, std::vector<std::uint32_t>, float, std::uint64_t>(), "offsets_um"_a, "gain"_a,
             "hot"_a, "hot_counts"_a, "seed"_a)
        .def("frame", &FrameCore::frame, "start_um"_a, "stop_um"_a, "segments"_a, "air"_a, "scale"_a, "out"_a);
}
