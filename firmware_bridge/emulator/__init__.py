"""The emulated scanner: processes that speak the same bytes as the hardware."""
