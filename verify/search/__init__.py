"""The search for failures: signals, peaks, confirmation, records."""
