"""Benchmark of the GPU back end beside the host back end of the same machine, on the same simulated data."""
