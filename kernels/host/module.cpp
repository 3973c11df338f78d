#include <nanobind/nanobind.h>
NB_MODULE(_host, m) { m.doc() = "Host build of the kernels."; }
