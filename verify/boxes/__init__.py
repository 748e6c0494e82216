"""Bounds over whole boxes of inputs, and the trust maps that hold them."""
