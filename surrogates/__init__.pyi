"""The public names, and where each comes from."""

from .adapters.jax_module import jax_surrogate
from .adapters.onnx_file import onnx_surrogate
from .adapters.sklearn_estimator import sklearn_surrogate
from .adapters.torch_module import torch_surrogate
from .architectures import ARCHITECTURES
from .checkpoint import load, save
from .ensemble import Ensemble, ensemble
from .surrogate import Surrogate
from .training.train import train

__all__ = [
    "ARCHITECTURES",
    "Ensemble",
    "Surrogate",
    "ensemble",
    "jax_surrogate",
    "load",
    "onnx_surrogate",
    "save",
    "sklearn_surrogate",
    "torch_surrogate",
    "train",
]
