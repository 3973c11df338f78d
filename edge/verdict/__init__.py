"""One verdict per bag: deadline, journal, feed."""
