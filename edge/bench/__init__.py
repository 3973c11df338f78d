"""Measurements of parts of the lane that need processes of their own."""
