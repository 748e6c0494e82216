"""The files that this library writes: a schema of each, and what a given file is, whose, and whether it is whole."""
