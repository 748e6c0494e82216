"""A model as its framework made it, adapted without being asked for: what a command line names may be one."""

from __future__ import annotations

import sys
from typing import Any

from ...solvers.problem import Problem
from .sklearn_estimator import sklearn_surrogate
from .torch_module import torch_surrogate


def adapted(found: Any, problem: Problem) -> Any:
    """A PyTorch module or a scikit-learn estimator as a surrogate; anything else as it is.

    Raises:
        ValueError: as ``torch_surrogate`` and ``sklearn_surrogate``.
    """
    torch = sys.modules.get("torch")  # whoever made a module has imported it
    if torch is not None and isinstance(found, torch.nn.Module):
        return torch_surrogate(found, problem)
    if not callable(found) and callable(getattr(found, "predict", None)):
        return sklearn_surrogate(found, problem)
    return found
