"""The paper's two studies on simulated scans: what is run, how it is counted, and the report of it."""
