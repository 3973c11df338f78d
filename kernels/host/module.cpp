// Python module kernels._host: checks nothing but sizes (kernels/*.py checks arguments), picks the instruction set,
// releases the interpreter lock and calls the kernels.
#include "module.hpp"

#include <nanobind/stl/vector.h>

#include <stdexcept>
#include <vector>

using darklane_host::Kernels;

namespace {

// What this processor can run, the fastest first.
std::vector<const Kernels*> usable() {
    std::vector<const Kernels*> found;
#if defined(DARKLANE_X86)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        found.push_back(&darklane_host::avx512);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&darklane_host::avx2);
#endif
    found.push_back(&darklane_host::baseline);
    return found;
}

}  // namespace

const Kernels& kernels(const std::string& isa) {
    for (const Kernels* k : usable())
        if (isa.empty() || isa == k->name) return *k;
    throw std::invalid_argument("isa: '" + isa + "' is not available on this processor");
}

void require(bool fits, const char* name) {
    if (!fits) throw std::invalid_argument(std::string(name) + ": its size does not match the other arguments");
}

namespace {

void retrieve(In<float, 4> samples, In<float, 3> curves, float x, In<float, 1> exposure, In<float, 1> variance,
              int model, In<float, 1> prior, In<float, 1> settings, Out<float, 4> images, Out<float, 4> sigma,
              Out<std::uint16_t, 3> flags, int threads, const std::string& isa) {
    const size_t rows = samples.shape(2), columns = samples.shape(3);
    require(samples.shape(0) == 4 && samples.shape(1) == 2, "samples");
    require(curves.shape(0) == 2 && curves.shape(1) == rows && curves.shape(2) == 13, "curves");
    require(exposure.shape(0) == columns, "exposure");
    require(variance.shape(0) == columns, "variance_factor");
    require(prior.shape(0) == 12, "prior");
    require(settings.shape(0) == darklane_host::SETTINGS, "settings");
    require(images.size() == samples.size(), "images");
    require(sigma.size() == samples.size(), "sigma");
    require(flags.size() == 2 * rows * columns, "flags");
    require(model >= 0 && model <= 2, "model");
    const Kernels& chosen = kernels(isa);
    const darklane_host::RetrieveJob job{samples.data(),  curves.data(),   exposure.data(),         variance.data(),
                                         prior.data(),    settings.data(), x,                       model,
                                         long(rows),      long(columns),   images.data(),           sigma.data(),
                                         flags.data(),    threads};
    nb::gil_scoped_release release;
    chosen.retrieve(job);
}

void ratio_images(In<float, 2> images, In<float, 2> sigma, In<float, 1> settings, Out<float, 2> values,
                  Out<float, 2> errors, int threads, const std::string& isa) {
    const size_t n = images.shape(1);
    require(images.shape(0) == 8, "images");
    require(sigma.shape(0) == 8 && sigma.shape(1) == n, "sigma");
    require(settings.shape(0) == darklane_host::SETTINGS, "settings");
    require(values.shape(0) == 7 && values.shape(1) == n, "values");
    require(errors.shape(0) == 7 && errors.shape(1) == n, "errors");
    const Kernels& chosen = kernels(isa);
    const darklane_host::RatiosJob job{images.data(), sigma.data(),  settings.data(), long(n),
                                       values.data(), errors.data(), threads};
    nb::gil_scoped_release release;
    chosen.ratio_images(job);
}

void fit_curves(In<float, 1> positions, In<float, 3> flats, In<float, 1> least, int paper, In<float, 1> settings,
                Out<float, 2> parameters, Out<float, 1> residual, int threads, const std::string& isa) {
    const size_t count = positions.shape(0), lines = flats.shape(2);
    require(flats.shape(0) == count && flats.shape(1) == 4, "flats");
    require(least.shape(0) == lines, "least");
    require(settings.shape(0) == darklane_host::SETTINGS, "settings");
    require(parameters.shape(0) == 13 && parameters.shape(1) == lines, "parameters");
    require(residual.shape(0) == lines, "residual");
    const Kernels& chosen = kernels(isa);
    const darklane_host::CurvesJob job{positions.data(),  flats.data(), least.data(),      settings.data(), int(count), paper,
                                       long(lines),       parameters.data(), residual.data(), threads};
    nb::gil_scoped_release release;
    chosen.fit_curves(job);
}

}  // namespace

NB_MODULE(_host, m) {
    m.doc() = "Host build of the kernels; call it through the package `kernels`.";
    m.def("instruction_sets", [] {
        std::vector<std::string> names;
        for (const Kernels* k : usable()) names.emplace_back(k->name);
        return names;
    });
    m.def("retrieve", &retrieve, nb::arg("samples"), nb::arg("curves"), nb::arg("x"), nb::arg("exposure"),
          nb::arg("variance"), nb::arg("model"), nb::arg("prior"), nb::arg("settings"), nb::arg("images"),
          nb::arg("sigma"), nb::arg("flags"), nb::arg("threads"), nb::arg("isa"));
    m.def("ratio_images", &ratio_images, nb::arg("images"), nb::arg("sigma"), nb::arg("settings"), nb::arg("values"),
          nb::arg("errors"), nb::arg("threads"), nb::arg("isa"));
    m.def("fit_curves", &fit_curves, nb::arg("positions"), nb::arg("flats"), nb::arg("least"), nb::arg("paper"),
          nb::arg("settings"), nb::arg("parameters"), nb::arg("residual"), nb::arg("threads"), nb::arg("isa"));
    bind_sums(m);
    bind_acquisition(m);
    bind_planes(m);
}
