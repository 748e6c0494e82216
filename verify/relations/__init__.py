"""Failures that no solve is needed for: relations of solutions that a surrogate breaks."""
