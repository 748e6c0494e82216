"""Frozen pairs of a problem and a surrogate, with the worst error that is known of each."""
