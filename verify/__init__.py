"""Certificates, falsification, the guard, trust maps."""

if __name__ == "verify":
    raise ImportError("this folder is a room of assay: write `from assay.verify import ...`")
