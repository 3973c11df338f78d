"""Training of networks on data sets of simulated scans: presets, one loop, export. Needs the extra ``train``."""

from training.fit_network.result import Result
from training.fit_network.train import train

__all__ = ["Result", "train"]
