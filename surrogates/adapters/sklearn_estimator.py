"""A scikit-learn estimator, or anything that predicts as one does, as a surrogate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...solvers.identity import check_problem
from ...solvers.problem import Problem
from .adapted import Adapted, Scaling, checked_dtype, checked_scaling, tried

WHEN_RANDOM = "predict must not draw: give the estimator a random_state, or its mean"


def sklearn_surrogate(
    estimator: Any, problem: Problem, *, inputs: Scaling = None, outputs: Scaling = None, dtype: Any = "float64"
) -> Adapted:
    """A fitted estimator whose ``predict`` maps inputs [n, d] to fields [n, N].

    One that was fitted to named columns gets them by name, in its own order.

    Args:
        inputs, outputs: how inputs and answers are scaled, or reshaped (as of ``torch_surrogate``); a Pipeline and a
            TransformedTargetRegressor do it themselves.
        dtype: what inputs are handed over in.

    Raises:
        ValueError: no estimator, not fitted, a classifier, fitted to other inputs, answers of another shape or at
            random.
    """
    check_problem(problem)
    if isinstance(estimator, type) or not callable(getattr(estimator, "predict", None)):
        raise ValueError(f"sklearn_surrogate takes a fitted estimator with predict, not {estimator!r:.80}")
    label, box = f"the estimator {type(estimator).__name__}", problem.inputs
    names = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    count = getattr(estimator, "n_features_in_", None)
    order = None
    if inputs is None and names:
        if sorted(names) != sorted(box.names):
            raise ValueError(
                f"{label} was fitted to the columns {', '.join(names)}, and the inputs of {problem.name} are "
                f"{box.listed}: name them alike, or say with inputs=, a function, what it takes"
            )
        order = [box.names.index(name) for name in names]
    elif inputs is None and count is not None and count != box.dimension:
        raise ValueError(
            f"{label} was fitted to {count} inputs, and {problem.name} has {box.dimension} ({box.listed}): "
            "is it of another problem? Else say with inputs=, a function, what it takes"
        )
    scaling = checked_scaling(inputs, "inputs"), checked_scaling(outputs, "outputs")
    run = _Run(estimator, order, problem.size)
    return tried(Adapted(problem, label, run, checked_dtype(dtype, label), *scaling), WHEN_RANDOM)


@dataclass(frozen=True, eq=False)
class _Run:
    estimator: Any
    order: list[int] | None  # of the columns
    size: int

    def __call__(self, rows: np.ndarray) -> Any:
        if self.order is not None:
            rows = self._named(rows[:, self.order])
        answer = self.estimator.predict(rows)
        alone = self.size == 1 and getattr(answer, "shape", None) == (len(rows),)
        return answer[:, None] if alone else answer

    def _named(self, rows: np.ndarray) -> Any:
        """With the names that it was fitted to, where pandas, which gave them, is here: else it would warn."""
        try:
            import pandas
        except ImportError:
            return rows
        return pandas.DataFrame(rows, columns=self.estimator.feature_names_in_)
