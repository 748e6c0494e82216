"""What solutions fulfil whatever they are: relations between them, a kind a file (``relation.py`` says what one is)."""
