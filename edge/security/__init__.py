"""Who may read what leaves the box: keys, their check, and what was refused."""
