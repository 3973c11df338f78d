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

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Image pixels per heat pixel.
STRIDE = 8
#: Ratio planes: numerator, denominator (names of planes), and the least denominator that counts, in its unit.
RATIOS: tuple[tuple[str, str, float], ...] = (
    ("dark_field low", "attenuation low", 0.03),
    ("dark_field high", "attenuation high", 0.03),
    ("attenuation high", "attenuation low", 0.03),
    ("offset_attenuation low", "attenuation low", 0.03),
    ("offset_attenuation high", "attenuation low", 0.03),
    ("dark_field high", "dark_field low", 8.0),
)
#: Averages that ratios are taken of: pixels a side, and step. One pixel of a fast scan is mostly noise.
RATIO_WINDOWS = ((5, 2), (17, STRIDE))
#: Brings each ratio to order 1: dark-field over attenuation is in µm².
_RATIO_SCALE = (0.02, 0.05, 1.0, 1.0, 1.0, 1.0)
#: Planes whose slope against :data:`SLOPE_OF` is taken, and what brings it to order 1.
SLOPE_OF = "attenuation low"
SLOPES: tuple[tuple[str, float], ...] = (
    ("dark_field low", 0.03),
    ("dark_field high", 0.08),
    ("attenuation high", 1.0),
    ("offset_attenuation low", 1.0),
    ("offset_attenuation high", 1.0),
)
#: Windows of the slopes in pixels of half the resolution, and the least variance of the attenuation that counts.
SLOPE_WINDOWS, SLOPE_FLOOR = (11, 23), 2e-4
#: No slope comes out larger than this.
LARGEST = 4.0
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


class RatioPlanes(nn.Module):
    """Ratios of planes averaged over ``window`` pixels, every ``step`` pixels, as many as ``planes`` allow."""

    def __init__(self, planes: Sequence[str], window: int, step: int) -> None:
        super().__init__()
        usable = [k for k, (top, bottom, _) in enumerate(RATIOS) if top in planes and bottom in planes]
        self.count, self._window, self._step = len(usable), window, step
        used = sorted({planes.index(name) for k in usable for name in RATIOS[k][:2]})
        self._used = used
        self._top = [used.index(planes.index(RATIOS[k][0])) for k in usable]
        self._bottom = [used.index(planes.index(RATIOS[k][1])) for k in usable]
        floors = torch.tensor([RATIOS[k][2] for k in usable]).view(1, -1, 1, 1)
        scales = torch.tensor([_RATIO_SCALE[k] for k in usable]).view(1, -1, 1, 1)
        self.register_buffer("floor", floors**2, persistent=False)
        self.register_buffer("scale", scales, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, count, rows / step, columns / step) of raw planes (N, C, rows, columns)."""
        mean = functional.avg_pool2d(x[:, self._used], *_averaged(self._window, self._step), count_include_pad=False)
        top, bottom = mean[:, self._top], mean[:, self._bottom]
        return self.scale * top * bottom / (bottom * bottom + self.floor)


class SlopePlanes(nn.Module):
    """How planes change with the low-bin attenuation inside windows: local regression slopes.

    Across the edge of a thing, slope = its own ratio to its own attenuation, whatever lies behind and however thick it
    is: the background renormalisation of the paper (Supplementary Fig. 4) without having to find regions first.
    """

    def __init__(self, planes: Sequence[str]) -> None:
        super().__init__()
        usable = [k for k, (name, _) in enumerate(SLOPES) if SLOPE_OF in planes and name in planes]
        self.count = len(usable) + 1 if usable else 0
        self._used = [planes.index(SLOPE_OF), *(planes.index(SLOPES[k][0]) for k in usable)] if usable else []
        scales = torch.tensor([SLOPES[k][1] for k in usable]).view(1, -1, 1, 1)
        self.register_buffer("scale", scales, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, windows × count, rows / 8, columns / 8) of raw planes: slopes, and how much the attenuation varies."""
        mean = functional.avg_pool2d(x[:, self._used], *_averaged(*RATIO_WINDOWS[0]), count_include_pad=False)
        base = mean[:, :1]
        made = []
        for window in SLOPE_WINDOWS:
            shape = _averaged(window, STRIDE // RATIO_WINDOWS[0][1])
            first = functional.avg_pool2d(mean, *shape, count_include_pad=False)
            joint = functional.avg_pool2d(mean * base, *shape, count_include_pad=False)
            together = joint - first * first[:, :1]
            spread = torch.relu(together[:, :1])
            slope = self.scale * together[:, 1:] / (spread + SLOPE_FLOOR)
            # Where nothing but noise varies, slopes are wild: large ones are squeezed.
            made += [slope / (1.0 + slope.abs() / LARGEST), torch.sqrt(spread + SLOPE_FLOOR) * 5.0]
        return torch.cat(made, 1)


def _averaged(window: int, step: int) -> tuple[int, int, int]:
    """Window, step and padding of an average that keeps size / step whole."""
    return window, step, window // 2


class TextureStatistics(nn.Module):
    """Mean and standard deviation of linear features in windows, at half the resolution of the maps."""

    def __init__(self, inputs: int, features: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(inputs, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2 × features, …)."""
        y = self.project(x)
        mean = functional.avg_pool2d(y, WINDOW, STEP, WINDOW // 2, count_include_pad=False)
        square = functional.avg_pool2d(y * y, WINDOW, STEP, WINDOW // 2, count_include_pad=False)
        return torch.cat([mean, torch.sqrt(torch.relu(square - mean * mean) + LEAST_VARIANCE)], 1)


class GrainNet(nn.Module):
    """``planes``: names of the input planes; ``scale``: what each is divided by; ``width``: channels of the stem."""

    def __init__(self, planes: Sequence[str], scale: Sequence[float], width: int = 24, dropout: float = 0.1) -> None:
        super().__init__()
        if len(planes) != len(scale):
            raise ValueError(f"{len(planes)} planes and {len(scale)} scales; one scale for each plane is needed")
        self.planes, self.width = tuple(planes), width
        middle, wide = width * 3 // 2, width * 3
        self.register_buffer("weight_of_plane", 1.0 / torch.tensor(scale, dtype=torch.float32).view(1, -1, 1, 1))
        self.ratios, self.wide_ratios = (RatioPlanes(planes, window, step) for window, step in RATIO_WINDOWS)
        self.stem = _unit(len(planes), width, 3, 2)
        self.down4 = _unit(width + self.ratios.count, middle, 3, 2)
        self.at4 = Residual(middle)
        self.texture = TextureStatistics(middle, middle)
        self.down8 = _unit(middle, wide, 3, 2)
        self.slopes = SlopePlanes(planes)
        made = self.wide_ratios.count + len(SLOPE_WINDOWS) * self.slopes.count
        self.join = _unit(wide + 2 * middle + made, wide, 1)
        self.at8 = nn.Sequential(Residual(wide), Residual(wide, 2), Residual(wide, 2))
        self.dropout = nn.Dropout2d(dropout)
        self.heat = nn.Conv2d(wide, 1, 1)
        self.score = nn.Conv2d(1, 1, 1)
        nn.init.ones_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Heat (N, 1, rows/8, columns/8) and score (N, 1), both logits, of raw planes (N, C, rows, columns)."""
        x = self.stem(planes * self.weight_of_plane)
        x = self.down4(torch.cat([x, self.ratios(planes)], 1))
        x = self.at4(x)
        x = self.join(torch.cat([self.down8(x), self.texture(x), *self._physics(planes)], 1))
        heat = self.heat(self.dropout(self.at8(x)))
        smooth = functional.avg_pool2d(heat, 3, 1, 1, count_include_pad=False)
        return heat, self.score(torch.amax(smooth, (2, 3), keepdim=True)).flatten(1)

    def _physics(self, planes: Tensor) -> list[Tensor]:
        """Quantities at the heat's resolution that no convolution can make."""
        made = [self.wide_ratios(planes)] if self.wide_ratios.count else []
        return [*made, self.slopes(planes)] if self.slopes.count else made


def parameters(network: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(weight.numel() for weight in network.parameters())
