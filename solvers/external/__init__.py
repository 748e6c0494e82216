"""Solvers that are programs of their own: executables that are started for each solve, servers that are asked."""
