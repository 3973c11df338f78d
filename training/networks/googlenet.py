"""GoogLeNet (Szegedy and others 2015) with batch normalisation, key-compatible with torchvision's ``googlenet`` file.

The public weights have two particulars: the 5 × 5 branch is a 3 × 3 one, and they expect inputs scaled to ±1 while the
usual ImageNet mean and standard deviation have been taken off (``transform_input``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Channels into a block, and out of: 1×1; 3×3 reduction, 3×3; "5×5" reduction, "5×5"; pooling projection.
BLOCKS: dict[str, tuple[int, int, int, int, int, int, int]] = {
    "inception3a": (192, 64, 96, 128, 16, 32, 32),
    "inception3b": (256, 128, 128, 192, 32, 96, 64),
    "inception4a": (480, 192, 96, 208, 16, 48, 64),
    "inception4b": (512, 160, 112, 224, 24, 64, 64),
    "inception4c": (512, 128, 128, 256, 24, 64, 64),
    "inception4d": (512, 112, 144, 288, 32, 64, 64),
    "inception4e": (528, 256, 160, 320, 32, 128, 128),
    "inception5a": (832, 256, 160, 320, 32, 128, 128),
    "inception5b": (832, 384, 192, 384, 48, 128, 128),
}
FEATURES = 1024
#: Mean and standard deviation of ImageNet's colours: what inputs are normalised with before ``transform_input``.
IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ConvUnit(nn.Module):
    """Convolution without bias, batch normalisation, ReLU; keys ``conv`` and ``bn``."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Same batch, ``outputs`` channels."""
        return torch.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Four branches beside each other; keys ``branch1`` to ``branch4``."""

    def __init__(self, sizes: tuple[int, int, int, int, int, int, int]) -> None:
        super().__init__()
        inputs, one, reduce3, three, reduce5, five, pooled = sizes
        self.branch1 = ConvUnit(inputs, one, 1)
        self.branch2 = nn.Sequential(ConvUnit(inputs, reduce3, 1), ConvUnit(reduce3, three, 3, padding=1))
        self.branch3 = nn.Sequential(ConvUnit(inputs, reduce5, 1), ConvUnit(reduce5, five, 3, padding=1))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), ConvUnit(inputs, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The branches' channels, one after the other."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Auxiliary(nn.Module):
    """A classifier half-way, which only the weight file knows: it is loaded and not used."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.conv = ConvUnit(inputs, 128, 1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, classes)


class GoogLeNet(nn.Module):
    """Trunk and classifier. ``auxiliary``: with the two half-way classifiers of the public file (never executed)."""

    features_out = FEATURES
    input_size = 224

    def __init__(self, classes: int = 1000, *, auxiliary: bool = False, transform_input: bool = True) -> None:
        super().__init__()
        self.transform_input = transform_input
        self.conv1 = ConvUnit(3, 64, 7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = ConvUnit(64, 64, 1)
        self.conv3 = ConvUnit(64, 192, 3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        for name, sizes in BLOCKS.items():
            self.add_module(name, Inception(sizes))
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        if auxiliary:
            self.aux1, self.aux2 = Auxiliary(512, classes), Auxiliary(528, classes)
        self.fc = nn.Linear(FEATURES, classes)
        a = torch.tensor(IMAGENET_SD).view(1, 3, 1, 1) / 0.5
        b = (torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1) - 0.5) / 0.5
        self.register_buffer("_scale", a, persistent=False)
        self.register_buffer("_shift", b, persistent=False)

    def maps(self, x: Tensor) -> Tensor:
        """Last feature maps (N, 1024, ⌈rows/32⌉, ⌈columns/32⌉) of images (N, 3, rows, columns)."""
        if self.transform_input:
            x = x * self._scale + self._shift
        x = self.maxpool2(self.conv3(self.conv2(self.maxpool1(self.conv1(x)))))
        for name in BLOCKS:
            if name == "inception4a":
                x = self.maxpool3(x)
            elif name == "inception5a":
                x = self.maxpool4(x)
            x = self.get_submodule(name)(x)
        return x

    def features(self, x: Tensor) -> Tensor:
        """Mean of the last maps (N, 1024)."""
        return self.maps(x).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of the classifier (N, classes)."""
        return self.fc(self.features(x))
