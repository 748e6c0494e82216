"""Finite differences and finite elements on structured grids, and the fast solvers of each."""
