"""Hyperelasticity's theorem, and the dual norms that it stands on."""
