// The kernels for any processor of the architecture.
#define DARKLANE_NAMESPACE darklane_baseline
#define DARKLANE_LANES 4
#include "retrieve_lanes.hpp"

namespace darklane_host {
const Kernels baseline = {"baseline", darklane_baseline::retrieve};
}
