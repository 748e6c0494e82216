"""Time-dependent problems: a one-step scheme that carries a state from an initial one over equal steps.

A state [S] is flat over (nodes, components); a field [N] holds every state of the scheme, the initial one first, flat
over (times, nodes, components). ``coordinates`` have the time in their first column. The residual of a field is that
of the same scheme, step by step: row n + 1 holds ``step_residual`` of the states n and n + 1, row 0 the state minus
the initial one, and entries prescribed at all times (boundary values) hold the value minus the prescribed one. Steps
do not depend on the time.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from ..outputs import Output, named, nodal
from ..precision import in_float64
from ..problem import Attempt, nan_unless
from .refinable import RefinableProblem

TOLERANCE = 1e-12
SCHEMES = {"implicit-euler": 1.0, "crank-nicolson": 0.5}  # weight of the new state; the old one has the rest


StepInverse = Callable[[Float[Array, " S"], Float[Array, " S"], Float[Array, " S"]], Float[Array, " S"]]
#  (before, after, residual) -> change of the new state


class Step(NamedTuple):
    """One step of the scheme with its account."""

    u: Float[Array, " S"]
    residual: Float[Array, ""]  # recomputed from u, relative to the step's data
    iterations: Float[Array, ""]
    converged: Bool[Array, ""]


class EvolutionProblem(RefinableProblem):
    """A state [S] that a one-step scheme carries over equal steps; a field [N] holds all states (module docstring)."""

    methods = ("time-stepping",)
    steps: int  # between the initial and the last state
    end_time: float

    @property
    @abc.abstractmethod
    def points(self) -> Float[np.ndarray, "nodes dim"]:
        """Where each node lies, boundary included."""

    @abc.abstractmethod
    def initial(self, p: Float[Array, " d"]) -> Float[Array, " S"]:
        """The state at time 0, with the values that are prescribed at all times."""

    @abc.abstractmethod
    def constrain(self, p: Float[Array, " d"], state: Float[Array, " S"]) -> Float[Array, " S"]:
        """The state with the values that are prescribed at all times."""

    @abc.abstractmethod
    def stepper(self, p: Float[Array, " d"], tolerance: float) -> Callable[[Float[Array, " S"]], Step]:
        """The map from one state to the next, with all that is common to the steps computed once."""

    @abc.abstractmethod
    def step_residual(
        self, p: Float[Array, " d"], before: Float[Array, " S"], after: Float[Array, " S"]
    ) -> Float[Array, " S"]:
        """The residual of one step: zero where ``after`` follows ``before``."""

    def step_inverse(self, p: Float[Array, " d"]) -> StepInverse | None:
        """An approximate inverse of the derivative of ``step_residual`` in the new state, zero in prescribed entries;
        None where none is known.
        """
        return None

    def conserved(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " times"] | None:
        """What every solution keeps, at every time of a field; None where that is nothing, or not known."""
        return None

    def conserve(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        """The field, changed as little as makes ``conserved`` constant."""
        return u

    @property
    def components(self) -> int:
        """Numbers per node."""
        return 1

    @cached_property
    def outputs(self) -> Mapping[str, Output]:
        """Of the last state: means and values at the centre."""
        suffixes = tuple(f"-{name.replace(' ', '-')}" if name else "" for name in self.component_names)
        return named(*nodal(self.points, suffixes, self.steps * self.components * len(self.points), "final-"))

    def approximate_error(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"] | None:
        """The error e of the scheme linearised at u, carried from step to step: with the residual r of a step, P its
        ``step_inverse`` and D, D' the derivatives of the residual in the old and in the new state

            e^{n+1} = e^n + P (r - (D + D') e^n),    e^0 = 0,

        so that P, which need not be accurate, acts on what changes in the step alone.
        """
        inverse = self.step_inverse(p)
        if inverse is None:
            return None
        states = self.states(u)

        def carry(e: Array, pair: tuple[Array, Array]) -> tuple[Array, Array]:
            r, change = jax.jvp(lambda a, b: self.step_residual(p, a, b), pair, (e, e))
            e = e + inverse(*pair, r - change)
            return e, e

        start = jnp.zeros_like(states[0])
        _, later = lax.scan(carry, start, (states[:-1], states[1:]))
        return jnp.concatenate([start, later.reshape(-1)])

    # ---- final from here on --------------------------------------------------------------------------------------

    @property
    def time_step(self) -> float:
        """The length of a step."""
        return self.end_time / self.steps

    @cached_property
    def times(self) -> Float[np.ndarray, " steps+1"]:
        """The times of the states, from 0."""
        return np.linspace(0, self.end_time, self.steps + 1)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.times), len(self.points), self.components)

    @cached_property
    def coordinates(self) -> Float[np.ndarray, "N 1+dim"]:
        """Time and place of every node at every time, the time in the first column."""
        steps, nodes = len(self.times), len(self.points)
        return np.hstack([np.repeat(self.times, nodes)[:, None], np.tile(self.points, (steps, 1))])

    def states(self, u: Float[Array, " N"]) -> Float[Array, "steps+1 S"]:
        """A field, or anything of its size, by time."""
        return u.reshape(len(self.times), -1)

    @in_float64
    def step(self, p: Any, state: Any) -> Float[Array, " S"]:
        """The next state, solved to the default tolerance; differentiable in both. NaN where it was not solved."""
        p, state = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(state, dtype=jnp.float64)
        done = self.stepper(p, TOLERANCE)(state)
        return nan_unless(done.converged & jnp.all(jnp.isfinite(done.u)), done.u, p, state)

    def solve_jax(self, p: Float[Array, " d"], tolerance: float | None = None) -> Attempt:
        """All steps. ``tolerance``: relative residual of each; the residual reported is the largest of them."""
        advance = self.stepper(p, TOLERANCE if tolerance is None else tolerance)
        start = self.initial(p)

        def one(state: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Step]:
            u, alive = state
            done = advance(u)
            alive_now = alive & done.converged
            residual = jnp.where(jnp.isnan(done.residual), jnp.inf, done.residual)
            # After a failure the state is NaN, on which every inner iteration stops at once, and counts no more.
            residual, iterations = jnp.where(alive, residual, 0.0), jnp.where(alive, done.iterations, 0.0)
            u = jnp.where(alive_now, done.u, jnp.nan)
            return (u, alive_now), Step(u, residual, iterations, alive_now)

        (_, good), steps = lax.scan(one, (start, jnp.asarray(True)), length=len(self.times) - 1)
        u = jnp.concatenate([start, steps.u.reshape(-1)])
        return Attempt(
            nan_unless(good, u),
            jnp.max(steps.residual),
            jnp.sum(steps.iterations).astype(int),
            jnp.asarray(0),
        )

    def residual(self, p: Any, u: Any) -> Float[Array, " N"]:
        """The scheme's residual, laid out as the field (module docstring). Differentiable in both."""
        p, u = jnp.asarray(p, dtype=jnp.float64), jnp.asarray(u, dtype=jnp.float64)
        states = self.states(u)
        rest = jax.vmap(lambda before, after: self.step_residual(p, before, after))(states[:-1], states[1:])
        return jnp.concatenate([states[0] - self.initial(p), rest.reshape(-1)])

    def prescribe(self, p: Float[Array, " d"], u: Float[Array, " N"]) -> Float[Array, " N"]:
        """The field with the problem's initial state, and in every later state the values prescribed at all times."""
        rest = jax.vmap(lambda state: self.constrain(p, state))(self.states(u)[1:])
        return jnp.concatenate([self.initial(p), rest.reshape(-1)])

    def state(self, u: Any, time: float) -> Float[Array, "nodes components"]:
        """The state at a time, linear between those of the scheme.

        Raises:
            ValueError: a time before the start or beyond the end.
        """
        end = float(self.times[-1])
        if not 0 <= time <= end:
            raise ValueError(
                f"time={time} is outside [0, {end}]: build {self.name} with a larger end_time to go further"
            )
        states = jnp.asarray(u, dtype=jnp.float64).reshape(self.shape)
        after = min(int(np.searchsorted(self.times, time)), len(self.times) - 1)
        before = max(after - 1, 0)
        if after == before:
            return states[0]
        share = (time - self.times[before]) / (self.times[after] - self.times[before])
        return (1 - share) * states[before] + share * states[after]


def check_steps(steps: int, end_time: float) -> None:
    """Check the number of steps and the time that they end at.

    Raises:
        ValueError: no steps, or an end time that is not positive and finite.
    """
    if int(steps) != steps or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1, not {steps}")
    if not 0 < end_time < np.inf:
        raise ValueError(f"end_time must be positive and finite, not {end_time}")


def check_scheme(scheme: str) -> None:
    """Check that a scheme is one of ``SCHEMES``.

    Raises:
        ValueError: not the name of a scheme.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(SCHEMES)}, not {scheme!r}")


def divide(what: str, count: int, by: int, least: int) -> int:
    """count / by, for the cells or steps of a coarser problem.

    Args:
        what: the setting that is divided, named in the message.

    Raises:
        ValueError: ``count`` is not a multiple of ``by``, or fewer than ``least`` are left.
    """
    if count % by or count // by < least:
        raise ValueError(
            f"an error estimate needs a coarser grid too: {what}={count} is no multiple of {by}, or below {least * by}"
        )
    return count // by


def trapezoidal(times: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Weights tau of the trapezoidal rule for values at these times: sum_m tau_m g(t_m) ~ the integral of g."""
    gaps = np.diff(times)
    return (np.append(gaps, 0.0) + np.insert(gaps, 0, 0.0)) / 2
