"""Parametrised problems and their discrete truth: finite differences, finite elements, snapshots."""

if __name__ == "solvers":
    raise ImportError("this folder is a room of assay: write `from assay.solvers import ...`")

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
