"""Tables of the emulated scanner and the script that made them."""
