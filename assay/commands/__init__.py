"""The verbs of the command line: each reads its settings, calls the library and shows what came back."""
