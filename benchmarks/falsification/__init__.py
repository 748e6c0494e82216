"""Searches for failures: what they find, with how many solves, and what becomes of it."""
