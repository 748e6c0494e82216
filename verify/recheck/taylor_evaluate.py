"""A tape applied to Taylor models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import functions, sigmoidal
from .model import FLUSHED, UP, Model, U, add, constant, linear, mul, negative, padded, scale, total
from .tape import Slot, Tape


def evaluate(tape: Tape, argument: Model) -> list[Model]:
    """The results for one argument [B, d]."""
    values: dict[int, Any] = {0: argument}
    space, batch = argument.space, argument.radius.shape[0]
    last: dict[int, int] = {}
    for place, (_, _, operands, _) in enumerate(tape.steps):
        last.update({x.number: place for x in operands if isinstance(x, Slot)})
    last.update({x.number: len(tape.steps) for x in tape.results if isinstance(x, Slot)})
    with np.errstate(all="ignore"):  # what is not a number proves nothing
        for place, (name, setting, operands, number) in enumerate(tape.steps):
            x = [values[v.number] if isinstance(v, Slot) else v for v in operands]
            values[number] = _apply(name, setting, x, space, tape.sums)
            for v in operands:
                if isinstance(v, Slot) and last[v.number] == place:
                    values.pop(v.number, None)
    found = [values[v.number] if isinstance(v, Slot) else constant(space, v) for v in tape.results]
    return [_spread(m, batch) for m in found]


def _spread(m: Model, batch: int) -> Model:
    if m.radius.shape[0] == batch:
        return m
    return m.moved(lambda x: np.broadcast_to(x, (*x.shape[: x.ndim - m.radius.ndim], batch, *m.shape)))


def _apply(name: str, setting: Any, x: list[Any], space: Any, sums: int) -> Model:
    known = [not isinstance(v, Model) for v in x]
    if name == "dot":
        return _dot(setting, x, known, space, sums)
    if name == "mul" and any(known):
        if all(known):
            return scale(constant(space, x[0]), np.asarray(x[1], dtype=float))
        (model,) = (v for v in x if isinstance(v, Model))
        (number,) = (np.asarray(v, dtype=float) for v in x if not isinstance(v, Model))
        return scale(model, number)
    models = [v if isinstance(v, Model) else constant(space, v) for v in x]
    if name == "move":
        return _move(setting, models)
    if len({m.shape for m in models}) > 1:  # JAX lets numbers meet arrays
        models = [_lifted(m, max(len(v.shape) for v in models)) for m in models]
    a = models[0]
    if name in ("add", "add_any"):
        return add(a, models[1], sums)
    if name == "sub":
        return add(a, negative(models[1]), sums)
    if name == "mul":
        return mul(a, models[1])
    if name == "div":
        return mul(a, functions.reciprocal(models[1]))
    if name == "neg":
        return negative(a)
    if name == "square":
        return mul(a, a)
    if name in ("sqrt", "rsqrt"):
        return functions.power(a, 0.5 if name == "sqrt" else -0.5)
    if name == "integer_pow":
        return functions.integer_power(a, setting)
    if name == "pow":
        return functions.power(a, setting)
    if name == "reduce_sum":
        return total(a, setting, sums)
    if name == "logaddexp":
        return sigmoidal.logaddexp(a, models[1], sums)
    if name in ("reduce_max", "reduce_min"):
        return _extreme(a, setting, _larger if name == "reduce_max" else _smaller)
    if name in ("max", "min", "abs"):
        b = models[1] if name != "abs" else negative(a)
        return _larger(a, b) if name != "min" else _smaller(a, b)
    return FUNCTIONS[name](a)


def _lifted(m: Model, axes: int) -> Model:
    more = axes - len(m.shape)
    return m.moved(lambda x: x.reshape((*x.shape, *[1] * more)))


FUNCTIONS = {
    "exp": functions.exp,
    "log": functions.log,
    "sin": functions.sin,
    "cos": functions.cos,
    "expm1": functions.expm1,
    "log1p": functions.log1p,
    "tanh": sigmoidal.tanh,
    "logistic": sigmoidal.logistic,
    "erf": sigmoidal.erf,
    "erfc": sigmoidal.erfc,
}


def _move(index: np.ndarray, models: list[Model]) -> Model:
    if len(models) == 1:
        ndim = len(models[0].shape)

        def taken(v: np.ndarray) -> np.ndarray:
            return v.reshape((*v.shape[: v.ndim - ndim], -1))[..., index]

        return models[0].moved(taken)
    n = max(len(m.coefficients) for m in models)
    batch = max(m.radius.shape[0] for m in models)

    def joined(parts: list[np.ndarray], axes: list[int]) -> np.ndarray:
        flat = [v.reshape((*v.shape[: v.ndim - k], -1)) for v, k in zip(parts, axes, strict=True)]
        flat = [np.broadcast_to(v, (*v.shape[:-2], batch, v.shape[-1])) for v in flat]
        return np.concatenate(flat, axis=-1)[..., index]

    axes = [len(m.shape) for m in models]
    rows = [padded(m.coefficients, n) for m in models]
    log = None
    if any(m.log is not None for m in models):
        log = _move(index, [m.log if m.log is not None else _unknown(m) for m in models])
    return Model(
        models[0].space,
        joined(rows, axes),
        joined([m.radius for m in models], axes),
        joined([m.loss for m in models], axes),
        log,
    )


def _unknown(m: Model) -> Model:
    nothing = np.full(m.radius.shape, np.inf)
    return Model(m.space, np.zeros((1, *m.radius.shape)), nothing, nothing)


def _dot(setting: tuple[str, str, str, int], x: list[Any], known: list[bool], space: Any, sums: int) -> Model:
    left, right, out, terms = setting
    if known[1]:
        a = constant(space, x[0]) if known[0] else x[0]
        return linear(a, f"...{left},{right}->...{out}", np.asarray(x[1], dtype=float), terms, sums)
    if known[0]:
        return linear(x[1], f"...{right},{left}->...{out}", np.asarray(x[0], dtype=float), terms, sums)
    inner = "".join(v for v in left if v in right and v not in out)
    whole = out + inner

    def spread(m: Model, letters: str) -> Model:
        order = [letters.index(v) for v in whole if v in letters]
        shape = [m.shape[letters.index(v)] if v in letters else 1 for v in whole]

        def what(v: np.ndarray) -> np.ndarray:
            lead = v.ndim - len(letters)
            return v.transpose(*range(lead), *(lead + i for i in order)).reshape((*v.shape[:lead], *shape))

        return m.moved(what)

    axes = tuple(range(len(out), len(whole)))
    product = mul(spread(x[0], left), spread(x[1], right))
    return total(product, axes, max(sums, terms)) if axes else product


def _larger(a: Model, b: Model) -> Model:
    """max(a, b): the one that is larger all over the box, else what holds both."""
    low, high = np.maximum(a.lower, b.lower), np.maximum(a.upper, b.upper)
    one, other = a.lower >= b.upper, b.lower >= a.upper
    middle = (low + high) / 2
    radius = (np.maximum(high - middle, middle - low) + U * np.abs(middle)) * UP
    n = max(len(a.coefficients), len(b.coefficients))
    rows = np.zeros((n, *middle.shape))
    hull = rows.copy()
    hull[0] = middle
    for chosen, model in ((other, b), (one, a)):
        rows[: len(model.coefficients)] = np.where(chosen, model.coefficients, rows[: len(model.coefficients)])
        rows[len(model.coefficients) :] = np.where(chosen, 0.0, rows[len(model.coefficients) :])
    neither = ~(one | other)
    c = np.where(neither, hull, rows)
    radius = np.where(one, a.radius, np.where(other, b.radius, radius))
    return Model(a.space, c, radius, np.maximum(a.loss, b.loss) * UP + FLUSHED)


def _smaller(a: Model, b: Model) -> Model:
    return negative(_larger(negative(a), negative(b)))


def _extreme(a: Model, axes: tuple[int, ...], pair: Callable[[Model, Model], Model]) -> Model:
    """The largest, or smallest, entry along axes, one after the other."""
    for axis in sorted(axes, reverse=True):
        behind = len(a.shape) - axis  # arrays of a model have axes of their own in front

        def taken(i: int, m: Model = a, behind: int = behind) -> Model:
            return m.moved(lambda v: np.take(v, i, axis=v.ndim - behind))

        out = taken(0)
        for i in range(1, a.shape[axis]):
            out = pair(out, taken(i))
        a = out
    return a
