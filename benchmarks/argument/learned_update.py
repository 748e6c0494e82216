"""An update rule that is itself learned: a small network, shared by all weights, meta-trained by evolution strategies.

Runs of it and of Adam are one loop, so that what they cost beside their rules is the same. Single precision.
References: Andrychowicz et al. (2016); Metz et al. (2020), whose features these are, but for fewer; Metz et al. (2022).
"""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import optax  # type: ignore[import-untyped]
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from .small_networks import dense, mean_square

BETAS = {"learned": (0.5, 0.9, 0.99), "Adam": (0.9,)}
FEATURES, HIDDEN, PAIRS = 8, 8, 8


def adam(theta: Array, w: Array, g: Array, m: Array, size: Array, t: Array, end: Array) -> Array:
    """Of theta = (rate, 1 if it falls to a hundredth by a cosine)."""
    falling = 0.01 + 0.99 * 0.5 * (1 + jnp.cos(jnp.pi * t / end))
    return theta[0] * jnp.where(theta[1] > 0, falling, 1.0) * m[0] / size


def learned(theta: Array, w: Array, g: Array, m: Array, size: Array, t: Array, end: Array) -> Array:
    """A network per weight: Adam's direction, scaled and corrected; it knows the step, not how many follow."""
    cut = FEATURES * HIDDEN
    inner, bias = theta[:cut].reshape(HIDDEN, FEATURES), theta[cut : cut + HIDDEN, None]
    outer, last = theta[cut + HIDDEN : -2].reshape(2, HIDDEN), theta[-2:, None]
    spread = jnp.log(size) - jnp.mean(jnp.log(size))
    seen = jnp.stack([g / size, *(m / size), spread, w, 0 * w + jnp.log(t) / 3 - 1, 0 * w + t / 100 - 1])
    out = outer @ jnp.tanh(inner @ jnp.tanh(seen) + bias) + last
    return jnp.exp(jnp.clip(out[0], -6, 3) - 5) * (m[1] / size + out[1])


def untaught(key: Array) -> Array:
    """Adam at a rate of exp(-5): the outer weights are 0."""
    inner = jax.random.normal(key, (HIDDEN * FEATURES,), jnp.float32) / FEATURES**0.5
    return jnp.concatenate([inner, jnp.zeros(3 * HIDDEN + 2, jnp.float32)])


def fitted(rule: str, theta: Array, key: Array, x: Array, y: Array, steps: Any) -> Array:
    """The loss of two layers of 16 after so many steps."""
    start, back = ravel_pytree(jax.tree.map(jnp.float32, dense(key, (x.shape[1], 16, 16, y.shape[1]))))
    betas, move = jnp.array(BETAS[rule], jnp.float32)[:, None], {"learned": learned, "Adam": adam}[rule]

    def step(i: Any, state: Any) -> Any:
        w, m, v = state
        g, t = jax.grad(lambda w: mean_square(back(w), x, y))(w), jnp.float32(i + 1)
        m, v = betas * m + (1 - betas) * g, 0.999 * v + 0.001 * g**2
        size = jnp.sqrt(v / (1 - jnp.float32(0.999) ** t)) + 1e-8
        return w - move(theta, w, g, m / (1 - betas**t), size, t, jnp.float32(steps)), m, v

    w = lax.fori_loop(0, steps, step, (start, jnp.zeros((len(betas), len(start)), jnp.float32), 0 * start))[0]
    return mean_square(back(w), x, y)


def taught(x: Array, y: Array, steps: int, rounds: int, seed: int) -> tuple[Array, Array, float]:
    """The weights of the learned update, its mean log loss by round, and seconds.

    Args:
        x, y: [problems, designs, rows, ...]; every round takes a design of each problem and a new start.
    """
    draw = jax.random.PRNGKey(seed)
    optimiser = optax.adam(optax.cosine_decay_schedule(0.05, rounds, 0.1))

    def score(theta: Array, key: Array, x: Array, y: Array) -> Array:
        found = jnp.log(fitted("learned", theta, key, x, y, steps))
        return jnp.where(jnp.isfinite(found), jnp.minimum(found, 3.0), 3.0)

    def once(state: Any, key: Array) -> Any:
        theta, inner = state
        one, two, three = jax.random.split(key, 3)
        eps = 0.1 * jax.random.normal(one, (PAIRS, len(theta)), jnp.float32)
        which, starts = jax.random.randint(two, (), 0, x.shape[1]), jax.random.split(three, len(x))
        each = jax.vmap(jax.vmap(score, (None, 0, 0, 0)), (0, None, None, None))
        found = each(theta + jnp.concatenate([eps, -eps]), starts, x[:, which], y[:, which]).mean(axis=1)
        update, inner = optimiser.update((found[:PAIRS] - found[PAIRS:]) @ eps, inner)
        return (theta + update, inner), found.mean()

    begin, began = untaught(draw), time.perf_counter()
    run = jax.jit(lambda theta: lax.scan(once, (theta, optimiser.init(theta)), jax.random.split(draw, rounds)))
    (theta, _), curve = jax.block_until_ready(run(begin))
    return theta, curve, time.perf_counter() - began
