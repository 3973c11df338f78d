// What the parts of the Python module share.
#pragma once
#include "isa.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <string>

namespace nb = nanobind;

template <class T, int D> using In = nb::ndarray<const T, nb::ndim<D>, nb::c_contig, nb::device::cpu>;
template <class T, int D> using Out = nb::ndarray<T, nb::ndim<D>, nb::c_contig, nb::device::cpu>;

// The build of an instruction set, or the fastest that this processor has when the name is empty.
const darklane_host::Kernels& kernels(const std::string& isa);

// Raises ValueError that names the argument.
void require(bool fits, const char* name);

// Adds the functions of module_sums.cpp, module_acquisition.cpp and module_planes.cpp.
void bind_sums(nb::module_& m);
void bind_acquisition(nb::module_& m);
void bind_planes(nb::module_& m);
