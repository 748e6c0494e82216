"""Beside other people's solvers and enclosures."""
