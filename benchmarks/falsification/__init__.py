"""Searches for failures, what they find and with how many solves; and what statistics say where nothing is proved."""
