"""The services of the lane, their messages, bus, configuration and command line."""
