"""Proofs along time steps: a bound of the error of one state, carried to the next one.

For states v^n of any origin, e^n = u^n - v^n and the state's norm |.| of the problem, a theorem has two parts:

    measures of each step, from v^n and v^{n+1} alone;      |e^{n+1}| <= advance(b, measures) for every b >= |e^n|

advance increases with b, so that b^n runs along a trajectory while it is being made (``guard_steps``): no later step is
needed, and a step that was corrected costs its own measures only.
"""

from __future__ import annotations

import abc
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from ...solvers.classes.evolution import EvolutionProblem
from .radius import RadiusProof


class SteppingProof(RadiusProof):
    """All of it traced, for one input and a window of w steps: ``states`` [w+1, S], prescribed values in place."""

    problem: EvolutionProblem
    state_norm_name: str  # in words

    @abc.abstractmethod
    def start(self, p: Float[Array, " d"]) -> Float[Array, ""]:
        """At least |e^0|: by how much ``problem.initial`` may differ between two evaluations."""

    @abc.abstractmethod
    def measures(self, p: Float[Array, " d"], states: Float[Array, "w+1 S"]) -> Any:
        """What ``advance`` needs of each step, rounding included: arrays whose first axis is that of the w steps."""

    @abc.abstractmethod
    def advance(self, b: Float[Array, ""], measure: Any) -> Float[Array, ""]:
        """At least |e^{n+1}|, from b >= |e^n| and one step's measures; NaN or infinite where nothing is known."""

    @abc.abstractmethod
    def state_norm(self, p: Float[Array, " d"], state: Float[Array, " S"]) -> tuple[Array, Array]:
        """|v| as computed, and how far the exact one may be from it."""

    @abc.abstractmethod
    def corrected(self, p: Float[Array, " d"], states: Float[Array, "w+1 S"], effort: int) -> Float[Array, "w+1 S"]:
        """States nearer to those that follow from the first one, which is kept. No proof depends on it."""

    @abc.abstractmethod
    def length(self, b: Float[Array, " steps+1"], measures: Any) -> Float[Array, ""]:
        """At least ||u - v|| of a whole trajectory in the problem's norm, from its states' bounds and measures."""

    @property
    @abc.abstractmethod
    def free_state(self) -> Bool[np.ndarray, " S"]:
        """Which entries of a state are not prescribed; the others are zero at all times."""

    # ---- final from here on --------------------------------------------------------------------------------------

    def carried(self, b: Float[Array, ""], measures: Any) -> Float[Array, " w+1"]:
        """b and the bounds after every step; infinite from where nothing is known on."""

        def one(b: Array, measure: Any) -> tuple[Array, Array]:
            after = self.advance(b, measure)
            after = jnp.where(after >= 0, after, jnp.inf)  # NaN too
            return after, after

        return jnp.append(b, lax.scan(one, b, measures)[1])

    def radius_row(self, p: Float[Array, " d"], v: Float[Array, " N"]) -> Float[Array, ""]:
        """The whole trajectory as one window."""
        measures = self.measures(p, self.problem.states(v))
        return self.length(self.carried(self.start(p), measures), measures)

    def correct_row(self, p: Float[Array, " d"], v: Float[Array, " N"], effort: int) -> Float[Array, " N"]:
        """Likewise."""
        return self.corrected(p, self.problem.states(v), effort).reshape(-1)

    def state_sizes(self, p: Float[Array, " d"], states: Float[Array, "w+1 S"]) -> Float[Array, " w+1"]:
        """At most |v^n| for each of the states as they are; zero where they are not finite."""
        value, off = jax.vmap(lambda state: self.state_norm(p, state))(states)
        least = jnp.maximum(value - off, 0.0)
        return jnp.where(jnp.isfinite(least), least, 0.0)
