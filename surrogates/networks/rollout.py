"""rollout: a network of one time step, applied again and again to its own answers.

    u_k = b_k + v_k,    v_0 = start(p),    v_{k+1} = S v_k = v_k + rate(u_k, v_k, K (b_{k+1} - b_k); p, t_k)/K,   k < K,

where b is the trajectory that is corrected (``base_field.py``), with what the problem prescribes of it: a polynomial of
the inputs, or the mean, whose v_0 is how far the initial state is from it; trained on whole trajectories, and with

    K^2 |S v_k - v_{k+1}|^2 + K^2 |S stop(S v_k) - v_{k+2}|^2        at the truths v_k of the snapshots

A step sees the state itself, as the solver's scheme does, and how fast its base is about to move.

The same convolutions take every step, as the solver's scheme does, so that what they learn of one time serves all. A
step that is trained on truths alone meets its own errors for the first time when it is rolled out: the second term
hands it states that are a little wrong as they will be (push-forward; ``stop`` lets no gradient through). K steps add
their errors up, hence the K^2. Where the problem prescribes the initial state, that is where it starts. It needs
times and a tensor grid, and learns slowly where a step reaches far beyond ``layers`` nodes. Good values: width 24, 3
layers.
References: Brandstetter, Worrall, Welling 2022 (push-forward); Sanchez-Gonzalez et al. 2020 (rolled out).
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ...solvers.problem import Problem
from .convolution import Convolution
from .design import Design, View, positive
from .on_grids import channels_of, misfit_grid
from .places.coordinate import Conditions

STARTS = 12  # times at most that single steps start at: all of a long run cost five times the run itself


class OneStep(nn.Module):
    """A state [n, *grid, components] one time step later."""

    width: int
    layers: int
    periodic: bool
    steps: int

    @nn.compact
    def __call__(self, v: Array, known: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, Array]:
        """``known``: the inputs as functions and by their features, the time, the base now and after the step; returns
        the new correction twice, for a scan.
        """
        fields, c, time, base, later = known
        rate = (later - base) * self.steps
        h = jnp.concatenate([base + v, v, rate, fields, jnp.broadcast_to(time, (*v.shape[:-1], 1))], axis=-1)
        for layer in range(self.layers):
            around = nn.Dense(self.width, name=f"inputs_{layer}")(c).reshape((len(c), *(1,) * (v.ndim - 2), self.width))
            h = jnp.tanh(Convolution(self.width, self.periodic, name=f"level_{layer}")(h) + around)
        new = v + nn.Dense(v.shape[-1], name="head", kernel_init=nn.initializers.normal(1e-2))(h) / self.steps
        return new, new


class Rollout(nn.Module):
    """See the module's docstring."""

    width: int
    layers: int
    grid: tuple[int, ...]
    periodic: bool
    shape: tuple[int, int, int]

    def setup(self) -> None:
        self.one = OneStep(self.width, self.layers, self.periodic, self.shape[0] - 1)
        self.inputs = Conditions(self.width)
        self.begin = nn.Dense(self.shape[2], kernel_init=nn.initializers.zeros)

    def __call__(self, view: View) -> Float[Array, "n times nodes components"]:
        fields, c = self._known(view)
        around = jnp.broadcast_to(c.reshape((len(c), *(1,) * len(self.grid), -1)), (*fields.shape[:-1], c.shape[1]))
        v = self.begin(jnp.concatenate([fields, around], axis=-1))
        begun, base, given = self._base(view)
        v, base = v + begun, jnp.moveaxis(base, 1, 0)
        if self.is_initializing():
            self.one(v, (fields, c, view.times[0], base[0], base[1]))

        def advance(one: nn.Module, v: Array, now: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            found: tuple[Array, Array] = one(v, (fields, c, *now))
            return found

        rolled = nn.scan(advance, variable_broadcast="params", split_rngs={"params": False})
        _, later = rolled(self.one, v, (view.times[:-1], base[:-1], base[1:]))
        states = jnp.concatenate([v[None], later]).reshape((self.shape[0], len(view.x), *self.shape[1:]))
        return jnp.moveaxis(states, 0, 1) + given

    def penalty(self, view: View, v: Float[Array, "n times nodes components"]) -> Float[Array, ""]:
        """One and two steps from the truths at some of the times, all at once."""
        fields, c = self._known(view)
        times, rows = self.shape[0], len(v)
        begun_at, base, _ = self._base(view)
        states = v.reshape((rows, times, *self.grid, self.shape[2])).at[:, 0].add(begun_at)

        def after(start: Array, begun: np.ndarray) -> Array:
            """One step from states at these times [n, m, *grid, components]."""
            m = len(begun)
            flat, now, later = (
                a.reshape((rows * m, *a.shape[2:])) for a in (start, base[:, begun], base[:, begun + 1])
            )
            clock = jnp.tile(view.times[begun], rows).reshape((-1, *(1,) * (len(self.grid) + 1)))
            new, _ = self.one(flat, (jnp.repeat(fields, m, axis=0), jnp.repeat(c, m, axis=0), clock, now, later))
            return jnp.reshape(new, start.shape)

        def missed(found: Array, at: np.ndarray) -> Array:
            return (times - 1) ** 2 * jnp.mean((found - states[:, at]) ** 2)

        begun = np.arange(0, times - 1, -(-(times - 1) // STARTS))
        once = after(states[:, begun], begun)
        twice = after(lax.stop_gradient(once[:, begun < times - 2]), begun[begun < times - 2] + 1)
        total = missed(once, begun + 1)
        return total + missed(twice, begun[begun < times - 2] + 2) if times > 2 else total

    def _base(self, view: View) -> tuple[Array, Float[Array, "n times *grid components"], Array]:
        """Where v starts, the base with prescribed values, and what it has of them."""
        assert view.base is not None and view.given is not None
        given, first = view.given, jnp.zeros_like(view.given[:, 0])
        if view.base.ndim == 3:  # a mean knows nothing of p: its first state is no start
            first, given = given[:, 0], given.at[:, 0].set(0.0)
        base = (view.base + given).reshape((len(view.x), self.shape[0], *self.grid, self.shape[2]))
        return first.reshape(base[:, 0].shape), base, given

    def _known(self, view: View) -> tuple[Array, Array]:
        return channels_of(view, self.grid, not self.periodic), self.inputs(view.x)


def build(problem: Problem, *, width: int = 24, layers: int = 3) -> nn.Module:
    """The network of a problem.

    Args:
        width: channels of the convolutions.
        layers: of a step.

    Raises:
        ValueError: numbers that make no sense.
    """
    grid = problem.grid_shape
    assert grid is not None
    positive(width=width, layers=layers)
    return Rollout(width, layers, grid, problem.periodic, problem.shape)


def misfit(problem: Problem) -> str:
    """One sentence why it does not fit a problem; empty where it does."""
    if problem.shape[0] < 2:
        return f"{problem.name} has one time only, and rollout needs several: unet or mlp need none"
    return misfit_grid("rollout", problem)


ROLLOUT = Design(
    "rollout", build, misfit, needs="several times, and nodes that form a tensor grid", sees_fields=True,
    sees_base=True, rate=5e-3, batch=2, penalised=True,
)  # fmt: skip
