"""Bounds, guards, searches and files against the truth, at sizes that tests cannot afford."""
