"""The gateway service: everything that leaves the box."""
