"""The lid-driven cavity: ``theorem`` bounds errors; the other files hold its constants and norms, one idea each."""
