"""Data sets of simulated scans: how they are made, how they lie on disk, and how they are read.

A data set is a folder: ``manifest.json`` (:mod:`training.dataset.manifest`) and one HDF5 file per scan
(:mod:`training.dataset.scan_file`). ``training.dataset.open(folder)`` reads it.
"""

from training.dataset.reader import Scans, open
from training.dataset.scan_file import Retrieved, Scan

__all__ = ["Retrieved", "Scan", "Scans", "open"]
