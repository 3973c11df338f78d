"""Offline: simulated data sets and fitted models."""
