"""Metrics: each service writes its own once a second; the gateway serves the fresh ones on loopback."""
