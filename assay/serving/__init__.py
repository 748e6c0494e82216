"""A guarded surrogate as an ordinary UM-Bridge model."""
