"""The field routine, calibration bundles and drift."""
