// From path lengths to what a bin sees: transmission, offset, refraction and dark-field (docs/physics.md).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "clones.hpp"

namespace transport {

constexpr int kLanes = 16;     // rows handled together
constexpr int kMaxBasis = 12;  // attenuation basis functions
constexpr int kWeights = 10;   // per energy: aperture (low, high) × (1, E^-2, E^-4, E^-4 ln E), septum (low, high)

// exp(x) for x <= 0, relative error below 2e-7; vectorises.
inline float exp_negative(float x) {
    x = std::max(x, -87.0f);
    const float scaled = x * 1.44269504f;
    const float whole = std::floor(scaled);
    const float f = scaled - whole;
    float p = 1.5403530e-4f;
    p = p * f + 1.3333558e-3f;
    p = p * f + 9.6181291e-3f;
    p = p * f + 5.5504109e-2f;
    p = p * f + 2.4022651e-1f;
    p = p * f + 6.9314718e-1f;
    p = p * f + 1.0f;
    const std::int32_t bits = (static_cast<std::int32_t>(whole) + 127) << 23;
    float power;
    std::memcpy(&power, &bits, sizeof power);
    return p * power;
}

// maps: (n_u, n_basis + 3, rows): basis coefficients, P, Q, refraction gradient. basis: (n_e, n_basis).
// weights: (n_e, 10), each bin's aperture weights sum to 1, so do the septum's. out: (n_u, 2 bins, 4, rows).
DARKLANE_CLONES inline void moments(const float* maps, std::size_t n_u, std::size_t rows, int n_basis, const float* basis,
                                    const float* weights, int n_e, float* out) {
    const std::size_t n_maps = static_cast<std::size_t>(n_basis) + 3;
    for (std::size_t u = 0; u < n_u; ++u) {
        const float* line = maps + u * n_maps * rows;
        float* result = out + u * 8 * rows;
        for (std::size_t r0 = 0; r0 < rows; r0 += kLanes) {
            const int n = static_cast<int>(std::min<std::size_t>(kLanes, rows - r0));
            float a[kMaxBasis][kLanes] = {};
            bool empty = true;
            for (std::size_t k = 0; k < n_maps; ++k) {
                for (int l = 0; l < n; ++l) {
                    const float value = line[k * rows + r0 + l];
                    empty = empty && value == 0.0f;
                    if (k < static_cast<std::size_t>(n_basis)) a[k][l] = value;
                }
            }
            float sum[kWeights][kLanes] = {};
            if (empty) {
                for (int b = 0; b < 2; ++b) {
                    for (int l = 0; l < n; ++l) {
                        float* cell = result + static_cast<std::size_t>(b) * 4 * rows + r0 + l;
                        cell[0] = 1.0f;
                        cell[rows] = cell[2 * rows] = 0.0f;
                        cell[3 * rows] = 1.0f;
                    }
                }
                continue;
            }
            for (int e = 0; e < n_e; ++e) {
                float depth[kLanes] = {};
                for (int k = 0; k < n_basis; ++k) {
                    const float c = basis[e * n_basis + k];
#pragma omp simd
                    for (int l = 0; l < kLanes; ++l) depth[l] += c * a[k][l];
                }
                const float* w = weights + e * kWeights;
                float t[kLanes];
#pragma omp simd
                for (int l = 0; l < kLanes; ++l) t[l] = exp_negative(-depth[l]);
                for (int k = 0; k < kWeights; ++k) {
                    const float c = w[k];
#pragma omp simd
                    for (int l = 0; l < kLanes; ++l) sum[k][l] += c * t[l];
                }
            }
            const float* p = line + static_cast<std::size_t>(n_basis) * rows + r0;
            const float* q = p + rows;
            const float* gradient = q + rows;
            for (int b = 0; b < 2; ++b) {
                float* cell = result + static_cast<std::size_t>(b) * 4 * rows + r0;
                for (int l = 0; l < n; ++l) {
                    const float t = std::max(sum[b][l], 1e-30f);
                    cell[l] = sum[b][l];
                    cell[rows + l] = gradient[l] * sum[2 + b][l] / t;
                    cell[2 * rows + l] = std::max(0.0f, (p[l] * sum[4 + b][l] + q[l] * sum[6 + b][l]) / t);
                    cell[3 * rows + l] = sum[8 + b][l];
                }
            }
        }
    }
}

// The illumination curve as a table: rows i of variance tau2 = scale (exp(i dv) - 1), columns x = j dx over one period.
struct CurveTable {
    const float* values;  // (n_v, n_x + 1)
    int n_v, n_x;
    float scale, dv, dx;

    float operator()(float x, float v_index) const {
        const float period = dx * static_cast<float>(n_x);
        x -= period * std::floor(x / period);
        const float xi = std::min(x / dx, static_cast<float>(n_x) - 1e-3f);
        const int j = static_cast<int>(xi), i = static_cast<int>(v_index);
        const float fx = xi - static_cast<float>(j), fv = v_index - static_cast<float>(i);
        const float* row = values + static_cast<std::size_t>(i) * (n_x + 1) + j;
        const float* next = row + n_x + 1;
        const float a = row[0] + fx * (row[1] - row[0]);
        const float b = next[0] + fx * (next[1] - next[0]);
        return a + fv * (b - a);
    }

    float index(float tau2) const {
        return std::min(std::log1p(tau2 / scale) / dv, static_cast<float>(n_v - 1) - 1e-3f);
    }
};

// images: (n_u, 2, 4, rows) of moments(); x_rows: (4, rows) sample points; peak, floor_: (2,) counts of the open aperture
// and septum beams. out: (2, out_stride_u...) written at out + (b * n_total + u0 + u) * 4 * rows.
inline void expected(const float* images, std::size_t n_u, std::size_t rows, const CurveTable& curve, const float* x_rows,
                     const float* peak, const float* floor_, float* out, std::size_t n_total, std::size_t u0) {
    for (std::size_t u = 0; u < n_u; ++u) {
        for (std::size_t b = 0; b < 2; ++b) {
            const float* in = images + (u * 2 + b) * 4 * rows;
            float* target = out + (b * n_total + u0 + u) * 4 * rows;
            for (std::size_t r = 0; r < rows; ++r) {
                const float t = in[r], shift = in[rows + r], o = in[3 * rows + r];
                const float v = curve.index(in[2 * rows + r]);
                for (std::size_t g = 0; g < 4; ++g) {
                    target[g * rows + r] = peak[b] * t * curve(x_rows[g * rows + r] - shift, v) + floor_[b] * o;
                }
            }
        }
    }
}

}  // namespace transport
