// The kernels for processors with AVX2 and FMA.
#define DARKLANE_NAMESPACE darklane_avx2
#define DARKLANE_LANES 8
#include "acquisition_lanes.hpp"
#include "images_lanes.hpp"
#include "network_planes_lanes.hpp"
#include "phase_sums_lanes.hpp"
#include "retrieve_lanes.hpp"

namespace darklane_host {
const Kernels avx2 = {"avx2",
    darklane_avx2::retrieve,
    darklane_avx2::phase_sums,
    darklane_avx2::ratio_images,
    darklane_avx2::fit_curves,
    darklane_avx2::correct_frames,
    darklane_avx2::retrieve_stepped,
    darklane_avx2::retrieve_sinusoid,
    darklane_avx2::network_planes,
};
}
