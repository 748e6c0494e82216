"""Leaves of a trust map proved again: Taylor models in numpy over many small boxes at once, apart from ``enclose``."""
