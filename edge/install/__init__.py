"""Puts the files of ``systemd/`` into a file system, and takes them out again."""
