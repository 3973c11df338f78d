"""Solvers that others would use for the same fits: the retrieval's own model, none of its code."""
