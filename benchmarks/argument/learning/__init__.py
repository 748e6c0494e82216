"""What training is, and what it needs."""
