"""Two linear layers, an ill-conditioned map: first-order methods stall, a second-order method ends at rounding.

    min over W1 [h, d], W2 [m, h] of  mean_i |W2 W1 x_i - A x_i|^2,    x_i normal,  condition number of A 1e5

The example of Rahimi and Recht's test-of-time talk: no noise, no local minimum but the global one, the exact solution
within reach, and gradient descent, with momentum, or Adam, each at the best of many rates, stops getting anywhere.
Errors are relative, |W2 W1 X - A X| / |A X| in the Frobenius norm; all begin at the same weights, each rate has the
same time.
Reference: Rahimi, Recht, "Reflections on Random Kitchen Sinks" (2017).

    python -m assay.benchmarks.learning.two_layers [--quick] [--json]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax  # type: ignore[import-untyped]
from jax import lax
from jaxtyping import Array, Float
from rich.console import Console

from ...surrogates.training.gauss_newton import levenberg_marquardt
from .. import command

INPUTS, HIDDEN, OUTPUTS, ROWS = 6, 6, 10, 1000
CONDITION = 1e5
RATES = 10.0 ** np.arange(-5, 0.51, 0.5)
GOAL = 1e-8


def residuals(weights: Any, row: Any) -> Float[Array, " m"]:
    """Of one row."""
    x, y = row
    return weights["W2"] @ (weights["W1"] @ x) - y


def loss(weights: Any, rows: Any) -> Float[Array, ""]:
    """The mean square."""
    return jnp.mean(jnp.sum(jax.vmap(lambda row: residuals(weights, row))(rows) ** 2, axis=1))


def data(seed: int = 0, condition: float = CONDITION, rows: int = ROWS) -> tuple[Any, Any]:
    """Rows (x, A x) and first weights."""
    rng = np.random.default_rng(seed)
    U, _ = np.linalg.qr(rng.standard_normal((OUTPUTS, INPUTS)))
    V, _ = np.linalg.qr(rng.standard_normal((INPUTS, INPUTS)))
    A = U @ np.diag(np.geomspace(1, 1 / condition, INPUTS)) @ V.T
    X = rng.standard_normal((rows, INPUTS))
    weights = {
        "W1": jnp.asarray(rng.standard_normal((HIDDEN, INPUTS)) / np.sqrt(INPUTS)),
        "W2": jnp.asarray(rng.standard_normal((OUTPUTS, HIDDEN)) / np.sqrt(HIDDEN)),
    }
    return (jnp.asarray(X), jnp.asarray(X @ A.T)), weights


def first_order(make: Callable[[float], Any], seconds: float) -> tuple[float, int, float]:
    """The least error of all rates, each for its share of the time; steps of the best, and its rate."""
    rows, start = data()
    size = float(jnp.mean(jnp.sum(rows[1] ** 2, axis=1)))
    best = (np.inf, 0, 0.0)
    for rate in RATES:
        optimiser = make(float(rate))

        def some(state: Any, rows: Any, optimiser: Any = optimiser) -> Any:
            def body(_: Any, state: Any) -> Any:
                weights, inner = state
                value, grad = jax.value_and_grad(loss)(weights, rows)
                extra = {"value": value, "grad": grad, "value_fn": lambda w: loss(w, rows)}
                updates, inner = optax.with_extra_args_support(optimiser).update(grad, inner, weights, **extra)
                return optax.apply_updates(weights, updates), inner

            return lax.fori_loop(0, 100, body, state)

        advance = jax.jit(some)
        state, steps = (start, optimiser.init(start)), 0
        advance(state, rows)
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            state, steps = jax.block_until_ready(advance(state, rows)), steps + 100
        error = float(jnp.sqrt(loss(state[0], rows) / size))
        if error < best[0]:
            best = (error, steps, float(rate))
    return best


def second_order(seconds: float) -> tuple[float, int]:
    """Levenberg-Marquardt: the error, and its steps until that no longer falls or the time is over."""
    rows, start = data()
    size = float(jnp.sum(rows[1] ** 2))
    begin, advance = levenberg_marquardt(residuals)
    state, steps = begin(start, rows), 0
    advance(state, rows, 1)
    began = time.perf_counter()
    before = np.inf
    while time.perf_counter() - began < seconds:
        state, value = advance(state, rows, 10)
        steps += 10
        if not float(value) < 0.999 * before and steps > 100:
            break
        before = float(value)
    return float(jnp.sqrt(before / size)), steps


def measure(quick: bool) -> dict[str, Any]:
    seconds = 0.5 if quick else 5.0
    methods: dict[str, Callable[[float], Any]] = {
        "gradient descent": optax.sgd,
        "with momentum .9": lambda rate: optax.sgd(rate, momentum=0.9),
        "Adam": optax.adam,
    }
    rows: list[dict[str, Any]] = []
    for name, make in methods.items():
        error, steps, rate = first_order(make, seconds)
        rows.append({"method": name, "error": error, "steps": steps, "best rate": rate, "seconds": seconds})
    start = time.perf_counter()
    error, steps = second_order(seconds)
    spent = time.perf_counter() - start
    rows.append({"method": "Levenberg-Marquardt", "error": error, "steps": steps, "best rate": "", "seconds": spent})
    first = min(row["error"] for row in rows[:-1])
    return {
        "rows": rows,
        "holds": {
            "the second-order method ends below 1e-8": error < GOAL,
            "no first-order method comes within a hundred times of that": first > 100 * GOAL,
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    console.print(command.table("Two linear layers, condition number 1e5: relative errors", result["rows"]))


if __name__ == "__main__":
    sys.exit(command.run(__doc__, measure, show))
