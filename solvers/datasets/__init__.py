"""Data without a solver: arrays, and files in the layouts that people have."""
