"""Solvers behind other people's servers and programs, and what other people's clients make of ours."""
