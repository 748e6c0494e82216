"""The problems, a page each: equation, scheme, reference; with what only they use."""
