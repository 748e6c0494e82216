"""What independent draws say, at a stated confidence."""
