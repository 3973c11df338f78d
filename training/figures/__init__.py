"""The paper's figures of single materials, drawn from simulated samples."""
