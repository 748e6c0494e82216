"""Verification that guides training: solves spent where a surrogate is expected to fail, and training again."""
