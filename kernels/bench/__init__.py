"""Benchmarks of the kernels: ours and the peers' on the same simulated data, and what the machine could do at best."""
