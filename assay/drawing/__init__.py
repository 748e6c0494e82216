"""Pictures: one kind of result a file. Only what is drawn imports matplotlib."""
