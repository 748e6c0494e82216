"""Surrogates of a problem: flax networks and the dull baselines, training, checkpoints."""

if __name__ == "surrogates":
    raise ImportError("this folder is a room of assay: write `from assay.surrogates import ...`")

from .checkpoint import load, save
from .registry import ARCHITECTURES, SURROGATES
from .surrogate import Surrogate
from .training import train

__all__ = ["ARCHITECTURES", "SURROGATES", "Surrogate", "load", "save", "train"]
