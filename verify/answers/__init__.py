"""A surrogate's answers: read once, called without being trusted, named by hashes."""
