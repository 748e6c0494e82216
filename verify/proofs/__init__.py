"""One theorem a file."""
