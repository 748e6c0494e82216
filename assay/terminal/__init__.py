"""What the verbs share: their errors, what they print, their common options."""
