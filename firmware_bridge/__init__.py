"""Drivers of every device at the scanner, and one emulator of all of them."""
