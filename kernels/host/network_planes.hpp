// What each instruction set's build offers for the input of the networks.
#pragma once
#include <cstdint>

namespace darklane_host {

// What edge/inference/planes.py says: of each channel and bin a plane of values and one of their 1-σ, then one that is 1
// where a pixel can be used. Strides are floats (flags: values) from one channel, bin and row to the next; a row is without
// gaps. `logarithms` are ln of the channels that are `logarithmic`, in their
// order, without gaps; below `floor` they mean nothing, and `floor_logarithm` is taken.
struct NetworkPlanesJob {
    const float* images;
    const float* sigma;
    const std::uint16_t* flags;
    const float* logarithms;
    const std::uint8_t* logarithmic;
    const float* limits;  // least and most of each channel
    float floor, floor_logarithm;
    std::uint16_t unusable;
    long image_stride[3], sigma_stride[3], flag_stride[2];
    long rows, columns;
    float* planes;
    long plane_stride[2];  // from plane to plane, from row to row
};

}  // namespace darklane_host
