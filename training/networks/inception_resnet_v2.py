"""Inception-ResNet-v2 (Szegedy and others 2017), key-compatible with the public files of timm and of Cadene.

The files differ in the classifier's name only (``classif`` and ``last_linear``), see :mod:`training.networks.weights`.
Inputs are scaled to ±1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FEATURES = 1536
_Size = int | tuple[int, int]


class ConvUnit(nn.Module):
    """Convolution without bias that keeps the size unless it strides, batch normalisation, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: _Size, *, stride: int = 1, same: bool = True, eps: float = 1e-3
    ) -> None:
        super().__init__()
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (size[0] // 2, size[1] // 2) if same and stride == 1 else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Same batch, ``outputs`` channels."""
        return torch.relu(self.bn(self.conv(x)))


def _chain(*steps: tuple[int, int, _Size], last_stride: int = 1) -> nn.Sequential:
    """Units one after the other; the last one may stride."""
    return nn.Sequential(
        *(ConvUnit(i, o, k, stride=last_stride if n == len(steps) - 1 else 1) for n, (i, o, k) in enumerate(steps))
    )


class Branches(nn.Module):
    """Parallel branches ``branch0``, ``branch1``, … whose channels are concatenated."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        for k, branch in enumerate(branches):
            self.add_module(f"branch{k}", branch)
        self._count = len(branches)

    def forward(self, x: Tensor) -> Tensor:
        """The branches' channels, one after the other."""
        return torch.cat([self.get_submodule(f"branch{k}")(x) for k in range(self._count)], 1)


class Residual(Branches):
    """relu(x + scale · conv2d(branches)); the last block of the network has no ReLU."""

    def __init__(self, joined: int, channels: int, scale: float, *branches: nn.Module, relu: bool = True) -> None:
        super().__init__(*branches)
        self.conv2d = nn.Conv2d(joined, channels, 1)
        self._scale, self._relu = scale, relu

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as ``x``."""
        x = x + self._scale * self.conv2d(super().forward(x))
        return torch.relu(x) if self._relu else x


def _block35() -> Residual:
    return Residual(
        128, 320, 0.17,
        ConvUnit(320, 32, 1),
        _chain((320, 32, 1), (32, 32, 3)),
        _chain((320, 32, 1), (32, 48, 3), (48, 64, 3)),
    )  # fmt: skip


def _block17() -> Residual:
    chain = _chain((1088, 128, 1), (128, 160, (1, 7)), (160, 192, (7, 1)))
    return Residual(384, 1088, 0.10, ConvUnit(1088, 192, 1), chain)


def _block8(*, relu: bool = True, scale: float = 0.20) -> Residual:
    chain = _chain((2080, 192, 1), (192, 224, (1, 3)), (224, 256, (3, 1)))
    return Residual(448, 2080, scale, ConvUnit(2080, 192, 1), chain, relu=relu)


class InceptionResNetV2(nn.Module):
    """Trunk and classifier."""

    features_out = FEATURES
    input_size = 299

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv2d_1a = ConvUnit(3, 32, 3, stride=2)
        self.conv2d_2a = ConvUnit(32, 32, 3, same=False)
        self.conv2d_2b = ConvUnit(32, 64, 3)
        self.maxpool_3a = nn.MaxPool2d(3, stride=2)
        self.conv2d_3b = ConvUnit(64, 80, 1)
        self.conv2d_4a = ConvUnit(80, 192, 3, same=False)
        self.maxpool_5a = nn.MaxPool2d(3, stride=2)
        pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.mixed_5b = Branches(
            ConvUnit(192, 96, 1),
            _chain((192, 48, 1), (48, 64, 5)),
            _chain((192, 64, 1), (64, 96, 3), (96, 96, 3)),
            nn.Sequential(pool, ConvUnit(192, 64, 1)),
        )
        self.repeat = nn.Sequential(*(_block35() for _ in range(10)))
        self.mixed_6a = Branches(
            ConvUnit(320, 384, 3, stride=2),
            _chain((320, 256, 1), (256, 256, 3), (256, 384, 3), last_stride=2),
            nn.MaxPool2d(3, stride=2),
        )
        self.repeat_1 = nn.Sequential(*(_block17() for _ in range(20)))
        self.mixed_7a = Branches(
            _chain((1088, 256, 1), (256, 384, 3), last_stride=2),
            _chain((1088, 256, 1), (256, 288, 3), last_stride=2),
            _chain((1088, 256, 1), (256, 288, 3), (288, 320, 3), last_stride=2),
            nn.MaxPool2d(3, stride=2),
        )
        self.repeat_2 = nn.Sequential(*(_block8() for _ in range(9)))
        self.block8 = _block8(relu=False, scale=1.0)
        self.conv2d_7b = ConvUnit(2080, FEATURES, 1)
        self.classif = nn.Linear(FEATURES, classes)

    def maps(self, x: Tensor) -> Tensor:
        """Last feature maps (N, 1536, …) of images (N, 3, rows, columns) scaled to ±1, at least 75 pixels a side."""
        x = self.maxpool_3a(self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x))))
        x = self.maxpool_5a(self.conv2d_4a(self.conv2d_3b(x)))
        x = self.mixed_6a(self.repeat(self.mixed_5b(x)))
        x = self.mixed_7a(self.repeat_1(x))
        return self.conv2d_7b(self.block8(self.repeat_2(x)))

    def features(self, x: Tensor) -> Tensor:
        """Mean of the last maps (N, 1536)."""
        return self.maps(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of the classifier (N, classes)."""
        return self.classif(self.features(x))
