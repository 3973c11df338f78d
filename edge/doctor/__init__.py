"""Looks at a box before, or when, something goes wrong. Each file holds one check; all of them only read."""
