// What each instruction set's build offers for the input of the networks.
#pragma once
#include <cstdint>

namespace darklane_host {

// What edge/inference/planes.py says: of each channel and bin a plane of values and one of their 1-σ, then one that is 1
// where a pixel can be used; of channels that are `logarithmic`, the value is −ln of what is at least `floor`. Strides are
// floats (flags: values) from one channel, bin and row to the next; a row is without gaps. Rows of planes are `wide`: what
// the images have no columns for is 0.
struct NetworkPlanesJob {
    const float* images;
    const float* sigma;
    const std::uint16_t* flags;
    const std::uint8_t* logarithmic;
    const float* limits;  // least and most of each channel
    float floor;
    std::uint16_t unusable;
    long image_stride[3], sigma_stride[3], flag_stride[2];
    long rows, columns, wide;
    float* planes;
    long plane_stride[2];  // from plane to plane, from row to row
};

}  // namespace darklane_host
