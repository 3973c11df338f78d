"""Golden vectors through every back end of this machine: `darklane selftest`."""
