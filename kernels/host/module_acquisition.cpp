// The part of the Python module for detector correction, stepped acquisition and phase stepping.
#include "module.hpp"

namespace {

void correct_frames(In<std::uint16_t, 4> frames, In<std::uint8_t, 2> good, In<float, 2> dead_time, In<float, 1> exposure,
                    float full_scale, bool paralysable, In<float, 1> settings, Out<float, 4> counts,
                    Out<std::uint8_t, 3> flags, int threads, const std::string& isa) {
    const size_t n = frames.shape(0), rows = frames.shape(2);
    require(frames.shape(1) == 2 && frames.shape(3) == 128, "frames");
    require(good.shape(0) == rows && good.shape(1) == 128, "good_pixels");
    require(dead_time.shape(0) == rows && dead_time.shape(1) == 128, "dead_time_s");
    require(exposure.shape(0) == n, "exposure_s");
    require(settings.shape(0) == darklane_host::SETTINGS, "settings");
    require(counts.size() == frames.size(), "counts");
    require(2 * flags.size() == frames.size(), "flags");
    const auto& chosen = kernels(isa);
    const darklane_host::CorrectJob job{frames.data(),   good.data(), dead_time.data(), exposure.data(),
                                        settings.data(), full_scale,  paralysable,      long(n),
                                        long(rows * 128), counts.data(), flags.data(),  threads};
    nb::gil_scoped_release release;
    chosen.correct_frames(job);
}

void retrieve_stepped(In<float, 4> samples, In<float, 4> curves, In<float, 1> positions, float pitch,
                      In<float, 2> exposure, In<float, 1> variance, bool map, In<float, 1> prior, In<float, 1> settings,
                      Out<float, 4> images, Out<float, 4> sigma, Out<std::uint16_t, 3> flags, int threads,
                      const std::string& isa) {
    const size_t count = samples.shape(0), rows = samples.shape(2), columns = samples.shape(3), per = curves.shape(3);
    require(samples.shape(1) == 2, "samples");
    require(count >= 3 && count <= 64, "positions_um");
    require(curves.shape(0) >= 4 && curves.shape(0) <= 25 && curves.shape(0) % 3 == 1, "curves");
    require(curves.shape(1) == 2 && curves.shape(2) == rows && (per == 1 || per == columns), "curves");
    require(positions.shape(0) == count, "positions_um");
    require(exposure.shape(0) == count && exposure.shape(1) == columns, "exposure");
    require(variance.shape(0) == columns, "variance_factor");
    require(prior.shape(0) == 12, "prior");
    require(settings.shape(0) == darklane_host::SETTINGS, "settings");
    require(images.size() == 8 * rows * columns, "images");
    require(sigma.size() == images.size(), "sigma");
    require(flags.size() == 2 * rows * columns, "flags");
    const auto& chosen = kernels(isa);
    const int ways = int(curves.shape(0) / 3);
    const darklane_host::SteppedJob job{samples.data(), curves.data(),   positions.data(), exposure.data(), variance.data(),
                                        prior.data(),   settings.data(), int(count),       ways,            pitch,
                                        map,            long(rows),      long(columns),    long(per),       images.data(),
                                        sigma.data(),   flags.data(),    threads};
    nb::gil_scoped_release release;
    chosen.retrieve_stepped(job);
}

void retrieve_sinusoid(In<float, 2> samples, In<float, 2> projection, In<float, 2> basis, In<float, 2> reference,
                       In<float, 2> reference_projection, In<float, 2> reference_basis, float period,
                       float variance_factor, In<float, 1> settings, Out<float, 2> images, Out<float, 2> sigma,
                       Out<std::uint16_t, 1> flags, int threads, const std::string& isa) {
    const size_t count = samples.shape(0), n = samples.shape(1), other = reference.shape(0);
    require(projection.shape(0) == 3 && projection.shape(1) == count, "positions_um");
    require(basis.shape(0) == 3 && basis.shape(1) == count, "positions_um");
    require(reference.shape(1) == n, "reference");
    require(reference_projection.shape(0) == 3 && reference_projection.shape(1) == other, "reference_positions_um");
    require(reference_basis.shape(0) == 3 && reference_basis.shape(1) == other, "reference_positions_um");
    require(settings.shape(0) == darklane_host::SETTINGS, "settings");
    require(images.shape(0) == 4 && images.shape(1) == n, "images");
    require(sigma.shape(0) == 4 && sigma.shape(1) == n, "sigma");
    require(flags.shape(0) == n, "flags");
    const auto& chosen = kernels(isa);
    const darklane_host::SinusoidJob job{
        samples.data(),         projection.data(), basis.data(), reference.data(), reference_projection.data(),
        reference_basis.data(), settings.data(),   int(count),   int(other),       period,
        variance_factor,        long(n),           images.data(), sigma.data(),    flags.data(),
        threads};
    nb::gil_scoped_release release;
    chosen.retrieve_sinusoid(job);
}

}  // namespace

void bind_acquisition(nb::module_& m) {
    m.def("correct_frames", &correct_frames, nb::arg("frames"), nb::arg("good"), nb::arg("dead_time"),
          nb::arg("exposure"), nb::arg("full_scale"), nb::arg("paralysable"), nb::arg("settings"), nb::arg("counts"),
          nb::arg("flags"), nb::arg("threads"), nb::arg("isa"));
    m.def("retrieve_stepped", &retrieve_stepped, nb::arg("samples"), nb::arg("curves"), nb::arg("positions"),
          nb::arg("pitch"), nb::arg("exposure"), nb::arg("variance"), nb::arg("map"), nb::arg("prior"),
          nb::arg("settings"), nb::arg("images"), nb::arg("sigma"), nb::arg("flags"), nb::arg("threads"), nb::arg("isa"));
    m.def("retrieve_sinusoid", &retrieve_sinusoid, nb::arg("samples"), nb::arg("projection"), nb::arg("basis"),
          nb::arg("reference"), nb::arg("reference_projection"), nb::arg("reference_basis"), nb::arg("period"),
          nb::arg("variance_factor"), nb::arg("settings"), nb::arg("images"), nb::arg("sigma"), nb::arg("flags"),
          nb::arg("threads"), nb::arg("isa"));
}
