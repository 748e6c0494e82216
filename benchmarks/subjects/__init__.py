"""What is measured besides the built-in problems: solvers as users have them."""
