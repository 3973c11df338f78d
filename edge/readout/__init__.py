"""Detector packets to phase sums per bag."""
