"""Our own network: all planes of both bins with their uncertainties in, a heat map and a bag score out.

Fully convolutional, no dynamic padding, plain operators only, so that it exports to a small ONNX graph.

- Planes are divided by fixed scales (they lie in the graph) and not shifted: 0 stays 0, which is what unusable pixels
  and the padding hold.
- Ratio planes, the thickness-independent quantities of the paper, are made inside from locally averaged planes, and
  shrink to 0 where the denominator drowns in its own noise.
- Texture statistics: mean and standard deviation of mid-level features in small windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Image pixels per heat pixel, and pixels beyond a cell on which its heat depends.
STRIDE, HALO = 8, 88
#: Cells a side of which the mean is taken before the hottest place is sought.
SMOOTH = 3


class Ratio(NamedTuple):
    """Planes ``top`` / ``bottom``; ``least``: denominator that counts, in its unit.

    ``centre`` is taken off and ``spread`` divided by, both in the ratio's unit: what tells materials apart are
    differences of one per cent, which eight bits of a number around 1 do not hold.
    """

    top: str
    bottom: str
    least: float
    centre: float
    spread: float


#: Centres and spreads: what materials without metal have at 80 kVp (simulated), roughly.
RATIOS = (
    Ratio("dark_field low", "attenuation low", 0.03, 20.0, 10.0),
    Ratio("dark_field high", "attenuation high", 0.03, 7.0, 4.0),
    Ratio("attenuation high", "attenuation low", 0.03, 0.655, 0.02),
    Ratio("offset_attenuation low", "attenuation low", 0.03, 0.56, 0.03),
    Ratio("offset_attenuation high", "attenuation low", 0.03, 0.595, 0.03),
    Ratio("dark_field high", "dark_field low", 8.0, 0.17, 0.05),
)
#: Planes whose slope against :data:`SLOPE_OF` is taken, with centre and spread.
SLOPE_OF = "attenuation low"
SLOPES: tuple[tuple[str, float, float], ...] = (
    ("dark_field low", 20.0, 10.0),
    ("dark_field high", 4.0, 2.5),
    ("attenuation high", 0.655, 0.02),
    ("offset_attenuation low", 0.56, 0.03),
    ("offset_attenuation high", 0.595, 0.03),
)
#: Pixels a side that ratios and slopes are made of the means of: one pixel of a fast scan is mostly noise.
FINE = 4
#: Windows of wide ratios and of slopes in cells; least variance of the attenuation that counts.
WIDE, SLOPE_WINDOWS, SLOPE_FLOOR = 3, (3, 5), 2e-4
#: No ratio or slope comes out larger than this many spreads.
LARGEST = 6.0
#: Window of the texture statistics on the maps of stride 4, and its step.
WINDOW, STEP = 7, 2
#: Least variance of a mid-level feature: below, the square root is steep for nothing.
LEAST_VARIANCE = 1e-3


def _unit(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; padded so that size / stride stays whole."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class Residual(nn.Module):
    """relu(x + two convolutions)."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = _unit(channels, channels, 3, 1, dilation)
        self.second = _unit(channels, channels, 3, 1, dilation)[:2]

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return torch.relu(x + self.second(self.first(x)))


class Physics(nn.Module):
    """Quantities that no convolution makes: ratios of averaged planes, and slopes of planes against attenuation.

    Across the edge of a thing, the slope of its dark-field against its attenuation is its own ratio, whatever lies
    behind it and however thick it is: the background renormalisation of the paper (Supplementary Fig. 4) without
    having to find regions first. Both are told as differences from a usual value, and shrink to 0 where the denominator
    drowns in its own noise.
    """

    def __init__(self, planes: Sequence[str]) -> None:
        super().__init__()
        ratios = [entry for entry in RATIOS if entry.top in planes and entry.bottom in planes]
        slopes = [entry for entry in SLOPES if SLOPE_OF in planes and entry[0] in planes]
        used = sorted({planes.index(name) for entry in ratios for name in (entry.top, entry.bottom)}
                      | {planes.index(name) for name, _, _ in slopes} | {planes.index(SLOPE_OF)})  # fmt: skip
        at = {planes[index]: k for k, index in enumerate(used)}
        self.ratios, self.slopes = len(ratios), len(SLOPE_WINDOWS) * (len(slopes) + 1)
        self.base = at[SLOPE_OF]

        def keep(name: str, values: list[int] | list[float]) -> None:
            made = torch.tensor(values) if values and isinstance(values[0], int) else _column(values)
            self.register_buffer(name, made, persistent=False)

        keep("used", used)
        keep("top", [at[entry.top] for entry in ratios])
        keep("bottom", [at[entry.bottom] for entry in ratios])
        keep("floor", [entry.least**2 for entry in ratios])
        keep("ratio_centre", [entry.centre for entry in ratios])
        keep("ratio_scale", [1 / entry.spread for entry in ratios])
        keep("sloped", [at[name] for name, _, _ in slopes])
        keep("slope_centre", [centre for _, centre, _ in slopes])
        keep("slope_scale", [1 / spread for _, _, spread in slopes])

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Ratios at a quarter of the resolution, and ratios and slopes at an eighth, of raw planes (N, C, …)."""
        fine = functional.avg_pool2d(planes.index_select(1, self.used), FINE)
        base = fine[:, self.base : self.base + 1]
        cells = functional.avg_pool2d(fine, STRIDE // FINE)
        squares = functional.avg_pool2d(base * base, STRIDE // FINE)
        products = functional.avg_pool2d(fine.index_select(1, self.sloped) * base, STRIDE // FINE)
        made = [self._ratios(_around(cells, WIDE))]
        for window in SLOPE_WINDOWS:
            mean = _around(cells, window)
            middle = mean[:, self.base : self.base + 1]
            variance = torch.relu(_around(squares, window) - middle * middle)
            joint = _around(products, window) - mean.index_select(1, self.sloped) * middle
            off_centre = self.slope_scale * (joint - self.slope_centre * variance)
            spread = variance + SLOPE_FLOOR
            made += [_squeezed(off_centre / spread), torch.sqrt(spread) * 5.0]
        return self._ratios(fine), torch.cat(made, 1)

    def _ratios(self, mean: Tensor) -> Tensor:
        top, bottom = mean.index_select(1, self.top), mean.index_select(1, self.bottom)
        off_centre = self.ratio_scale * (top - self.ratio_centre * bottom)
        return _squeezed(off_centre * bottom / (bottom * bottom + self.floor))


def _squeezed(x: Tensor) -> Tensor:
    """Where nothing but noise varies, ratios are wild: none comes out larger than :data:`LARGEST`."""
    return x / (1.0 + x.abs() / LARGEST)


def _around(x: Tensor, window: int, step: int = 1) -> Tensor:
    """Mean of ``window`` × ``window`` around every ``step``-th pixel; what lies beyond the border does not count."""
    return functional.avg_pool2d(x, window, step, window // 2, count_include_pad=False)


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)


class TextureStatistics(nn.Module):
    """Mean and standard deviation of linear features in windows, at half the resolution of the maps."""

    def __init__(self, inputs: int, features: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(inputs, features, 1)
        #: Least variance of each feature, which becomes another where a feature is scaled.
        self.least: Tensor
        self.register_buffer("least", torch.full((1, features, 1, 1), LEAST_VARIANCE), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2 × features, …)."""
        y = self.project(x).float()  # small differences of squares need all digits
        mean, square = _around(y, WINDOW, STEP), _around(y * y, WINDOW, STEP)
        return torch.cat([mean, torch.sqrt(torch.relu(square - mean * mean) + self.least)], 1)


class GrainNet(nn.Module):
    """``planes``: names of the input planes; ``scale``: what each is divided by; ``width``: channels of the stem."""

    def __init__(self, planes: Sequence[str], scale: Sequence[float], width: int = 24, dropout: float = 0.1) -> None:
        super().__init__()
        if len(planes) != len(scale):
            raise ValueError(f"{len(planes)} planes and {len(scale)} scales; one scale for each plane is needed")
        self.planes, self.width = tuple(planes), width
        middle, wide = width * 3 // 2, width * 3
        self.register_buffer("weight_of_plane", 1.0 / torch.tensor(scale, dtype=torch.float32).view(1, -1, 1, 1))
        self.physics = Physics(planes)
        self.stem = _unit(len(planes), width, 3, 2)
        self.down4 = _unit(width, middle, 3, 2)
        self.mix4 = _unit(middle + self.physics.ratios, middle, 1)
        self.at4 = Residual(middle)
        self.texture = TextureStatistics(middle, middle)
        self.down8 = _unit(middle, wide, 3, 2)
        self.join = _unit(wide + 2 * middle + self.physics.ratios + self.physics.slopes, wide, 1)
        self.at8 = nn.Sequential(Residual(wide), Residual(wide, 2), Residual(wide))
        self.dropout = nn.Dropout2d(dropout)
        self.heat = nn.Conv2d(wide, 1, 1)
        self.score = nn.Conv2d(1, 1, 1)
        nn.init.ones_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Heat (N, 1, rows/8, columns/8) and score (N, 1), both logits, of raw planes (N, C, rows, columns).

        Rows and columns are multiples of 8: a bag is filled up with zeros, which say that nothing was measured there.
        """
        fine, coarse = self.physics(planes)
        x = self.down4(self.stem(planes * self.weight_of_plane))
        x = self.at4(self.mix4(torch.cat([x, fine], 1)))
        x = self.join(torch.cat([self.down8(x), self.texture(x), coarse], 1))
        heat = self.heat(self.dropout(self.at8(x))).float()
        smooth = _around(heat, SMOOTH)
        return heat, self.score(torch.amax(smooth, (2, 3), keepdim=True)).flatten(1)


def parameters(network: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(weight.numel() for weight in network.parameters())
