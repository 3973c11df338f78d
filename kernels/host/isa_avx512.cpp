// The kernels for processors with AVX512.
#define DARKLANE_NAMESPACE darklane_avx512
#define DARKLANE_LANES 16
#include "retrieve_lanes.hpp"

namespace darklane_host {
const Kernels avx512 = {"avx512", darklane_avx512::retrieve};
}
