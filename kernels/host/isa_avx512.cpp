// The kernels for processors with AVX-512 F, DQ and VL.
#define DARKLANE_NAMESPACE darklane_avx512
#define DARKLANE_LANES 16
#include "acquisition_lanes.hpp"
#include "images_lanes.hpp"
#include "network_planes_lanes.hpp"
#include "phase_sums_lanes.hpp"
#include "retrieve_lanes.hpp"

namespace darklane_host {
const Kernels avx512 = {"avx512",
    darklane_avx512::retrieve,
    darklane_avx512::phase_sums,
    darklane_avx512::ratio_images,
    darklane_avx512::fit_curves,
    darklane_avx512::correct_frames,
    darklane_avx512::retrieve_stepped,
    darklane_avx512::retrieve_sinusoid,
    darklane_avx512::network_planes,
};
}
