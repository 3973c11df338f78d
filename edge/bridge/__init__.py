"""Owns the slow devices and publishes their events."""
