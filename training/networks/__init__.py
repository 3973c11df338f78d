"""Networks: the paper's, a stand-in with weights that can be had, and our own. Needs the extra ``train`` (PyTorch)."""

import os

# Before PyTorch is imported: its threads else spin while they wait, which makes a busy machine many times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
