"""Momentum and energy of rollouts, with and without symmetry, with and without an action."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from jax import lax

from ..claim import DEPENDS, EMPIRICAL, FAILED, HELD, Claim
from ..run import Run, mean_of

CLAIM = Claim(
    claim="Symmetry gives conservation",
    said="by Emmy Noether (1918) of variational problems; in the debate, of networks",
    theorem="Every continuous symmetry of an action has a conserved quantity (Noether 1918): translations in "
    "space momentum, in time energy. Without an action an equivariant law of motion need not conserve "
    "anything.",
    experiment="A nonlinear wave equation in space-discrete form, eight masses in a row with springs of force x + "
    "x^3 and free ends. Networks of equal width learn the forces from 512 random states: plain; of "
    "differences of positions alone (equivariant to translations); the slope of a learnt potential of "
    "positions; the slope of a potential of differences (symmetric, with an action). Largest change of "
    "momentum, of |v| sqrt(masses) at first, and of the true energy, of the total energy at first, over "
    "2000 steps of Stoermer and Verlet's method.",
    limits="A demonstration of a theorem, and no evidence for it: a symmetric potential keeps momentum by "
    "construction. A learnt potential conserves an energy too, its own; that the true energy drifts there "
    "says how far the two differ. One small system; the integrator itself conserves momentum exactly and "
    "energy nearly, so that what drifts is the network's. Discrete symmetries, which `symmetry=` of this "
    "library's networks keeps, are not of Noether's kind.",
    rule="Held if equivariance alone keeps momentum to 1e-9; depends (on there being an action) if only the "
    "symmetric potential does; failed if neither does.",
)
MASSES, UNITS, ROWS, STEPS, TIME, ROLLOUT = 8, 48, 512, 4000, 0.02, 2000
WAYS = ("plain", "equivariant", "potential", "symmetric potential")
EXACT, SYMMETRIC = 1e-9, ("equivariant", "symmetric potential")


def forces(q: Any) -> Any:
    """Of the springs: minus the slope of the sum of x^2/2 + x^4/4 over stretches x."""
    x = jnp.diff(q)
    return jnp.diff(x + x**3, prepend=0.0, append=0.0)


def energy(q: Any, v: Any) -> Any:
    x = jnp.diff(q)
    return jnp.sum(v**2) / 2 + jnp.sum(x**2 / 2 + x**4 / 4)


def learnt(weights: Any, way: str, q: Any) -> Any:
    def net(q: Any) -> Any:
        z = jnp.diff(q) if way in SYMMETRIC else q
        return jnp.tanh(weights["W"] @ z + weights["b"]) @ weights["V"]

    return -jax.grad(lambda q: net(q)[0])(q) if "potential" in way else net(q)


@partial(jax.jit, static_argnames=("way", "steps"))
def trained(start: Any, Q: Any, way: str, steps: int) -> Any:
    wanted = jax.vmap(forces)(Q)
    optimiser = optax.adam(optax.cosine_decay_schedule(1e-2, steps))

    def loss(w: Any) -> Any:
        return jnp.mean((jax.vmap(lambda q: learnt(w, way, q))(Q) - wanted) ** 2)

    def step(state: Any, _: Any) -> tuple[Any, None]:
        updates, inner = optimiser.update(jax.grad(loss)(state[0]), state[1], state[0])
        return (optax.apply_updates(state[0], updates), inner), None

    weights = lax.scan(step, (start, optimiser.init(start)), length=steps)[0][0]
    return weights, jnp.sqrt(loss(weights) / jnp.mean(wanted**2))


@partial(jax.jit, static_argnames=("way", "steps"))
def rolled(weights: Any, q: Any, v: Any, way: str, steps: int) -> Any:
    """Momenta and true energies along the way; by the true forces where there are no weights."""

    force = forces if weights is None else partial(learnt, weights, way)

    def step(state: Any, _: Any) -> tuple[Any, Any]:
        q, v = state
        half = v + TIME / 2 * force(q)
        q = q + TIME * half
        v = half + TIME / 2 * force(q)
        return (q, v), jnp.stack([jnp.sum(v), energy(q, v)])

    return lax.scan(step, (q, v), length=steps)[1]


def one(seed: int, steps: int, rollout: int) -> dict[str, Any]:
    """(error of the forces, drift of momentum, drift of energy), by way."""
    rng = np.random.default_rng(seed)
    Q = jnp.asarray(rng.normal(0, 0.5, (ROWS, MASSES)))
    q, v = jnp.asarray(rng.normal(0, 0.3, MASSES)), jnp.asarray(rng.normal(0, 0.3, MASSES))
    kinetic, impulse = float(energy(q, v)), float(jnp.linalg.norm(v) * np.sqrt(MASSES))
    found = {}
    for way in ("true forces", *WAYS):
        weights, error = None, 0.0
        if way in WAYS:
            inputs = MASSES - (way in SYMMETRIC)
            outputs = 1 if "potential" in way else MASSES
            start = {
                "W": jnp.asarray(rng.standard_normal((UNITS, inputs)) / np.sqrt(inputs)),
                "b": jnp.asarray(rng.standard_normal(UNITS)),
                "V": jnp.asarray(rng.standard_normal((UNITS, outputs)) / np.sqrt(UNITS)),
            }
            weights, last = trained(start, Q, way, steps)
            error = float(last)
        path = np.asarray(rolled(weights, q, v, way, rollout))
        momentum = abs(path[:, 0] - float(v.sum())) / impulse
        found[way] = [error, float(momentum.max()), float((abs(path[:, 1] - kinetic) / kinetic).max())]
    return found


def measure(run: Run) -> dict[str, Any]:
    sizes = (200, 200) if run.quick else (STEPS, ROLLOUT)
    found = [run.row(f"seed {seed}", partial(one, seed, *sizes)) for seed in run.seeds(5)]
    rows = []
    for way in ("true forces", *WAYS):
        x = np.minimum(np.nan_to_num(np.array([f[way] for f in found], dtype=float), nan=1e9), 1e9)
        error, momentum, drift = (mean_of(np.maximum(c, 1e-17), logarithms=True) for c in x.T)
        named = {"momentum changes by": momentum, "of seeds the most": float(x[:, 1].max()), "energy by": drift}
        rows.append({"forces": way, "error of forces": error, **named, "evidence": EMPIRICAL})
    return {"rows": rows}


def verdict(result: dict[str, Any]) -> tuple[str, str]:
    rows = {row["forces"]: row for row in result["rows"]}
    keys = ("momentum changes by", "energy by")
    told, drift = (", ".join(f"{way} {rows[way][key][0]:.1g}" for way in WAYS) for key in keys)
    exact = {way: rows[way]["of seeds the most"] <= EXACT for way in WAYS}
    sentence = f"Momentum changes, of |v| sqrt(masses): {told}; true energy, of that at first: {drift}."
    return (HELD if exact["equivariant"] else DEPENDS if exact["symmetric potential"] else FAILED), sentence


def draw(result: dict[str, Any], figure: Any) -> None:
    axes = figure.add_subplot()
    names = [row["forces"] for row in result["rows"]]
    for i, (key, colour) in enumerate((("momentum changes by", "#0072b2"), ("energy by", "#d55e00"))):
        values = np.maximum(np.array([row[key] for row in result["rows"]], dtype=float), 1e-17)
        x = np.arange(len(names)) + 0.15 * (2 * i - 1)
        spread = abs(np.clip(values[:, 1:], 1e-18, 1e10) - values[:, :1]).T
        axes.errorbar(x, values[:, 0], yerr=spread, fmt="o", color=colour, label=key.split()[0], capsize=3)
    axes.set(yscale="log", ylabel="largest relative change in a rollout", ylim=(1e-18, 1e3))
    axes.set_xticks(range(len(names)), names)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
