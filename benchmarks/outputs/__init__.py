"""Outputs of solutions: proved intervals of them against the truth, their width and their price."""
