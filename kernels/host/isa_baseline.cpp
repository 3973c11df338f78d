// The kernels for any processor of the architecture.
#define DARKLANE_NAMESPACE darklane_baseline
#define DARKLANE_LANES 4
#include "acquisition_lanes.hpp"
#include "images_lanes.hpp"
#include "network_planes_lanes.hpp"
#include "phase_sums_lanes.hpp"
#include "retrieve_lanes.hpp"

namespace darklane_host {
const Kernels baseline = {"baseline",
    darklane_baseline::retrieve,
    darklane_baseline::phase_sums,
    darklane_baseline::ratio_images,
    darklane_baseline::fit_curves,
    darklane_baseline::correct_frames,
    darklane_baseline::retrieve_stepped,
    darklane_baseline::retrieve_sinusoid,
    darklane_baseline::network_planes,
};
}
