"""One-step surrogates of time-dependent problems, guarded step by step."""
