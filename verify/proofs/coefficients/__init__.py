"""Bounds from coefficients: for coercive problems their constants, by references combined, and by a larger basis; for
others the factor of a residual's columns.
"""
