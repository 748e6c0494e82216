"""Surrogates of a problem: flax networks, dull baselines and models of other people; training, checkpoints."""

if __name__ == "surrogates":
    raise ImportError("this folder is a room of assay: write `from assay.surrogates import ...`")

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
