// The kernels for processors with AVX2.
#define DARKLANE_NAMESPACE darklane_avx2
#define DARKLANE_LANES 8
#include "retrieve_lanes.hpp"

namespace darklane_host {
const Kernels avx2 = {"avx2", darklane_avx2::retrieve};
}
