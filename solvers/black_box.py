"""A problem of which only the solver is known: it can be sampled, learnt and searched, but nothing can be proved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .box import Box
from .direct import host_call
from .foreign import call_foreign
from .problem import METHODS, Attempt, Problem, SolveError

REASONS = 5  # distinct ones of failed solves that are remembered


@dataclass(frozen=True, eq=False)
class BlackBox(Problem):
    """Built by ``black_box``."""

    function: Callable[[np.ndarray], Any]
    box: Box
    points: Float[np.ndarray, "N axes"]

    @property
    def name(self) -> str:
        return "black-box"

    @property
    def settings(self) -> dict[str, Any]:
        return {}

    @property
    def inputs(self) -> Box:
        return self.box

    @property
    def shape(self) -> tuple[int, int, int]:
        return (1, len(self.points), 1)

    @property
    def coordinates(self) -> Float[np.ndarray, "N axes"]:
        return self.points

    @property
    def norm_name(self) -> str:
        return "root mean square over the entries"

    def norm(self, p: Any, u: Any) -> Float[Array, ""]:
        u = jnp.asarray(u, dtype=jnp.float64)
        return jnp.sqrt(jnp.mean(u**2))

    @cached_property
    def _failures(self) -> dict[str, None]:
        return {}

    def failures(self) -> tuple[str, ...]:
        return tuple(self._failures)

    def _remember(self, reason: str) -> None:
        """As the newest of at most ``REASONS``."""
        self._failures.pop(reason, None)
        self._failures[reason] = None
        while len(self._failures) > REASONS:
            self._failures.pop(next(iter(self._failures)), None)

    def attempt(self, p: Float[Array, " d"], tolerance: float | None = None) -> Attempt:
        u = host_call(self._answer, jnp.zeros(self.size), p)
        return Attempt(u, jnp.asarray(jnp.nan), jnp.asarray(0), jnp.asarray(METHODS.index("user")))

    @property
    def attempt_on_host(self) -> Callable[[np.ndarray, float | None], Attempt]:
        method = np.asarray(METHODS.index("user"))
        return lambda p, tolerance: Attempt(self._answer(p), np.asarray(np.nan), np.asarray(0), method)  # type: ignore[arg-type]

    def _answer(self, p: np.ndarray) -> Float[np.ndarray, " N"]:
        """The user's solver; one that raises, or answers in another shape, has failed (NaN)."""
        try:
            u = call_foreign(_numbers, self.function, p, whose="the solver")
        except Exception as error:  # whatever a foreign solver raises is a failed solve, not the end of a batch
            self._remember(f"{type(error).__name__}: {error}")
            return np.full(self.size, np.nan)
        if u.shape == (self.size,) and np.isfinite(u).all():
            return u
        self._remember(
            f"answered with {u.size} values, not {self.size}" if u.size != self.size else "values NaN or infinite"
        )
        return np.full(self.size, np.nan)


def black_box(solve: Callable[[np.ndarray], Any], box: Box, coordinates: Any = None) -> BlackBox:
    """A problem from a solver p [d] -> u [N]; it is called once, at the centre of the box, to learn N.

    Raises:
        ValueError: ``coordinates`` are not [N, axes].
        SolveError: the solver raised, or its answer is not finite, at the centre of the box.
    """
    centre = box.from_unit(np.full(box.dimension, 0.5))
    try:
        u = call_foreign(_numbers, solve, centre, whose="the solver")
    except Exception as error:
        raise SolveError(f"the solver raised at the centre of the box: {type(error).__name__}: {error}") from error
    if len(u) == 0 or not np.isfinite(u).all():
        raise SolveError("the solver's answer at the centre of the box is empty or not finite")
    points = np.asarray(np.arange(len(u))[:, None] if coordinates is None else coordinates, dtype=np.float64)
    if points.ndim != 2 or len(points) != len(u):
        raise ValueError(f"coordinates must have shape [{len(u)}, axes], not {list(points.shape)}")
    return BlackBox(solve, box, points)


def _numbers(solve: Callable[[np.ndarray], Any], p: np.ndarray) -> np.ndarray:
    return np.asarray(solve(p), dtype=np.float64).ravel()
