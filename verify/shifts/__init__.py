"""How wrong a surrogate is where the question is not what it learnt, each change by its name."""
