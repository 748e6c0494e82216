"""Adam or Muon on mini-batches, schedule-free, so that a run may end at any step (Defazio et al. 2024).

Which rows are in a batch follows from seed and step alone, so that an interrupted run goes on to the same weights.
Several networks of one loss can make their steps together (``Together``).
References: Kingma, Ba 2015; Jordan et al. 2024 (Muon).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
import optax.contrib  # type: ignore[import-untyped]
from jax import lax
from jaxtyping import Array, Float, Int

from .optimise import LOOK


class State(NamedTuple):
    """Of a stochastic optimiser: where it is, and the best that was seen."""

    weights: Any
    inner: Any
    step: Int[Array, ""]
    best: Any
    judged: Float[Array, ""]


def one_array(weights: Any) -> tuple[np.ndarray, Callable[[Any], Any]]:
    """All weights behind each other, and what makes weights of that again; on the host where they are there."""
    leaves, tree = jax.tree.flatten(weights)
    ends = np.cumsum([a.size for a in leaves])[:-1]

    def whole(at: Any) -> Any:
        parts: Any = np.split(at, ends) if isinstance(at, np.ndarray) else jnp.split(at, ends)
        return jax.tree.unflatten(tree, [part.reshape(a.shape) for part, a in zip(parts, leaves, strict=True)])

    return np.concatenate([np.asarray(a).ravel() for a in leaves]), whole


class Stochastic:
    """A schedule-free optimiser on mini-batches: steps are compiled; between them the weights are judged every ``LOOK``
    steps, where every chunk of steps ends however fast the machine is.
    """

    def __init__(
        self, weights: Any, loss: Callable[..., Array], judged: Callable[..., Any], sets: Any, counts: tuple[int, int],
        kind: str, rate: float, batch: int, seed: int,
    ) -> None:  # fmt: skip
        """From ``weights``: ``loss(weights, sets, rows, points)`` of some rows of the two parts of the data, of so many
        rows in all; ``judged(weights, sets)`` is what the weights are told apart by; "muon", or Adam otherwise.
        """
        base = optax.contrib.muon(rate * 5, adam_learning_rate=rate) if kind == "muon" else optax.adam(rate, b1=0.0)
        warm = optax.scale_by_schedule(lambda i: jnp.minimum(1.0, (i + 1) / 100))
        self.loss, self.sets, self.counts, self.batch = loss, sets, counts, batch
        self.optimiser = optax.contrib.schedule_free(optax.chain(base, warm), rate, b1=0.9)
        self.key = jax.random.PRNGKey(seed + 17)
        # as one array, where the optimiser works by entries: an update of each of fifty takes seconds to compile
        self.start: Any = weights
        self._whole: Callable[[Any], Any] = lambda at: at
        if kind != "muon":
            self.start, self._whole = one_array(weights)
        self._steps = jax.jit(self._some_steps)
        self._readable = jax.jit(optax.contrib.schedule_free_eval_params)
        self.judge = jax.jit(lambda at, sets: judged(self._whole(at), sets))

    def begin(self) -> State:
        """The first state."""
        at = self.start
        inner = jax.jit(self.optimiser.init)(at)
        return State(at, inner, jnp.asarray(0), at, jnp.asarray(self.judge(at, self.sets)))

    def advance(self, state: State, count: Any) -> tuple[State, Array]:
        """The state ``count`` steps later, and the best that was seen until then."""
        if count:
            state = self._steps(state, self.sets, count)
            if int(state.step) % LOOK == 0:
                state = self.look(state)
        return state, state.judged

    def best(self, state: State) -> tuple[Any, float]:
        """The weights that were best, and what they are judged by."""
        return self.weights(state.best), float(self.judge(state.best, self.sets))

    def weights(self, at: Any) -> Any:
        """Weights as they were given to begin from."""
        return jax.tree.map(jnp.asarray, self._whole(jax.tree.map(np.asarray, at)))

    def look(self, state: State) -> State:
        """The state with its best, if that is where it is; what it is judged by is NaN where its weights are."""
        now = self._readable(state.inner, state.weights)
        value = jnp.asarray(self.judge(now, self.sets))
        if value < state.judged:
            return state._replace(best=now, judged=value)
        return state._replace(judged=value) if jnp.isnan(value) else state

    def _some_steps(self, state: State, sets: Any, count: Array) -> State:
        return lax.fori_loop(0, count, lambda _, state: self.step(state, sets, self.key), state)

    def step(self, state: State, sets: Any, key: Array) -> State:
        """One step, in JAX; ``key`` orders the rows."""
        n, m = self.counts
        rows, points = self._rows(key, state.step, n, 1), self._rows(key, state.step, m, 2)
        grad = jax.grad(lambda at: self.loss(self._whole(at), sets, rows, points))(state.weights)
        updates, inner = self.optimiser.update(grad, state.inner, state.weights)
        return state._replace(weights=optax.apply_updates(state.weights, updates), inner=inner, step=state.step + 1)

    def _rows(self, key: Array, step: Array, count: int, salt: int) -> Array:
        """Every row once an epoch, in an order of its own."""
        if count <= self.batch:
            return jnp.arange(count)
        per = count // self.batch
        key = jax.random.fold_in(jax.random.fold_in(key, salt), step // per)
        return lax.dynamic_slice(jax.random.permutation(key, count), ((step % per) * self.batch,), (self.batch,))


class Together:
    """Several of one loss at once, each from its own weights and with its own order of rows: their steps are one
    program, which is compiled once. What that saves is told in ``ensemble.py``.
    """

    def __init__(self, members: Sequence[Stochastic]) -> None:
        self.members, one = members, members[0]
        self.one, self.sets = one, one.sets
        keys = jnp.stack([member.key for member in members])

        def some_steps(states: State, sets: Any, count: Array) -> State:
            every = jax.vmap(one.step, in_axes=(0, None, 0))
            return lax.fori_loop(0, count, lambda _, states: every(states, sets, keys), states)

        def look(states: State, sets: Any) -> State:
            return jax.vmap(better, in_axes=(0, None))(states, sets)

        def better(state: State, sets: Any) -> State:
            now = optax.contrib.schedule_free_eval_params(state.inner, state.weights)
            value = one.judge(now, sets)
            less = value < state.judged
            best = jax.tree.map(lambda a, b: jnp.where(less, a, b), now, state.best)
            return state._replace(best=best, judged=jnp.where(less | jnp.isnan(value), value, state.judged))

        self._steps, self._look = jax.jit(some_steps), jax.jit(look)
        self._judge = jax.jit(jax.vmap(one.judge, in_axes=(0, None)))

    def begin(self) -> State:
        """The first state, with an axis for the members in front of everything."""
        at = jax.tree.map(lambda *each: jnp.stack(each), *(member.start for member in self.members))
        inner = jax.jit(jax.vmap(self.one.optimiser.init))(at)
        return State(at, inner, jnp.zeros(len(self.members), int), at, self._judge(at, self.sets))

    def advance(self, state: State, count: Any) -> tuple[State, Array]:
        """The state ``count`` steps later, and the mean over members of the best that was seen until then."""
        if count:
            state = self._steps(state, self.sets, count)
            if int(state.step[0]) % LOOK == 0:
                state = self.look(state)
        return state, state.judged.mean()

    def look(self, state: State) -> State:
        """As of one, of every member."""
        return self._look(state, self.sets)

    def best(self, state: State) -> list[tuple[Any, float]]:
        """Of every member the weights that were best, and what they are judged by."""
        values = np.asarray(self._judge(state.best, self.sets))
        each = [jax.tree.map(lambda a, k=k: a[k], state.best) for k in range(len(values))]
        return [(self.one.weights(at), float(value)) for at, value in zip(each, values, strict=True)]
