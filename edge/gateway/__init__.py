"""The one service that other computers talk to; it reads the lane and can command nothing in it."""
