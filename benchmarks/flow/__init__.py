"""Bounds beyond the coercive class, against the truth: one script a claim."""
