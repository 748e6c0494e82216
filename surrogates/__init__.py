"""Surrogates of a problem: flax networks and the dull baselines, training, checkpoints."""

if __name__ == "surrogates":
    raise ImportError("this folder is a room of assay: write `from assay.surrogates import ...`")

from .architectures import ARCHITECTURES, SURROGATES
from .checkpoint import load, save
from .surrogate import Surrogate
from .training.train import train

__all__ = ["ARCHITECTURES", "SURROGATES", "Surrogate", "load", "save", "train"]
