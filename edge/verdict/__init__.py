"""The verdict service: exactly one final verdict for every bag that entered, journaled, then published."""
