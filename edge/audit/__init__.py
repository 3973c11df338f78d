"""The audit of a lane: commands to devices, key changes, activations of bundles. Each line hashes the one before."""
