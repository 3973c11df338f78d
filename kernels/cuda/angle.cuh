// The angle of a point in the plane.
#pragma once
#include "lanes.cuh"

namespace DARKLANE_NAMESPACE {

// Of (x, y) from the x axis, in (−π, π], to 3e-7; of (0, 0) it is 0.
template <class F> DARKLANE_FN F angle_of(F y, F x) {
    const F zero(0.0f), rise = magnitude(y), run = magnitude(x);
    const auto steep = rise > run;
    const F z = minimum(rise, run) / maximum(maximum(rise, run), F(1e-30f));
    const F z2 = z * z;
    // Least-squares fit of atan(z)/z over Chebyshev points of z² in [0, 1].
    F p = z2 * F(2.83406430e-3f) + F(-1.60050305e-2f);
    p = p * z2 + F(4.25876075e-2f);
    p = p * z2 + F(-7.49544544e-2f);
    p = p * z2 + F(1.06367541e-1f);
    p = p * z2 + F(-1.42025705e-1f);
    p = p * z2 + F(1.99924836e-1f);
    p = p * z2 + F(-3.33330668e-1f);
    F angle = z * (p * z2 + F(1.0f));
    angle = select(steep, F(1.57079633f) - angle, angle);
    angle = select(x < zero, F(3.14159265f) - angle, angle);
    return select(y < zero, zero - angle, angle);
}

}  // namespace DARKLANE_NAMESPACE
