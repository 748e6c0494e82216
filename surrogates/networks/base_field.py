"""The field that a network corrects: the best of what costs nothing, at rows that were left out.

    field(p) = prescribe(p, s (base(p) + scale * net(p))),    base: the mean, or a polynomial V c(x) of the features

Where solutions depend smoothly on few inputs a polynomial is within a thousandth after a second, and a network that has
to find that first is still far from it when its time is over. What the base leaves is what the network learns, and its
record says what that base was and how well it did alone.

The polynomial is one in coefficients of a POD basis (``polynomial.py``). There is none where inputs are seen as
functions on a periodic grid, for a polynomial of the numbers does not shift with them. Where they are functions given
by their values the best is the mean, whatever rows say: a linear map of so many numbers fits its own rows better than
others, and what is wrong in it is no operator that a network could undo. Measured with fno: Darcy's equation on 16 x 16
points, 1000 samples, .179 where it corrects the linear map and .097 the mean; Burgers' on 16 points and 17 times, 960
samples, .059 the polynomial and .0039 the mean.

What the base leaves at a row that it was fitted to is less than at others. Networks learn that all the same: from what
is left with each row left out (``refitted.py``) fno learnt less on Burgers' equation (.050 for .033 in 25 seconds, mlp
.070 for .065), and on the thermal block as little as before, which is nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ...solvers.problem import Problem
from ..baselines import polynomial
from ..baselines.regression import RANK, TOLERANCE, Regression, least_squares
from ..surrogate import BASE, Surrogate
from ..training.dull import DULL, targets_of
from ..training.pod import Data, pod
from .design import Design
from .vanishing import VANISH, at_zero, vanishing_array

BASES = ("mean", "linear", "polynomial")
EQUAL = 1e-12  # errors that differ by less are rounding: the simplest, which comes first among ``BASES``
ROWS = 2048  # that baselines are fitted to: more cost minutes


Polynomial = tuple[Int[np.ndarray, "terms m"], Float[np.ndarray, "terms k"]]  # powers and values of ``polynomial.py``


class Judged(NamedTuple):
    """Baselines fitted to the rows that are not held out, and their errors at those that are."""

    regression: Regression  # of the rows that are not held out
    polynomials: dict[str, Polynomial]  # of the bases
    bases: dict[str, float]  # as ``errors``, of what a network would correct, which vanishes where fields do
    errors: dict[str, float]  # mean, relative, in the norm that the network's are told in


def judge(
    data: Data,
    held: Bool[np.ndarray, " n"],
    names: tuple[str, ...],
    seed: int,
    error: Callable[[Float[np.ndarray, "h N"]], float],
) -> Judged:
    """The baselines that can be fitted; none without rows held out.

    Args:
        error: the mean relative error at the rows held out of fields without prescribed values, as it is told of the
            network. That in the norm of the basis is another: of a polynomial on the thermal block it is .0058 for
            .0143.
    """
    own, left = data.some(~held), np.flatnonzero(held)
    r = Regression.in_basis(own, pod(own, TOLERANCE, RANK))
    kept, x, vanish = r.some(np.arange(len(r.x))[:ROWS]), data.features[left], vanishing_array(data.problem, data)

    def of(said: Float[np.ndarray, "h k"]) -> float:
        return error(data.amplitudes[left, None] * (said @ r.basis.T))

    errors, bases, polynomials = {}, {}, {}
    for name in names if len(left) else ():
        try:
            fitted = DULL[name].fit(kept, seed)
            errors[name] = of(targets_of(fitted, x))
            if name not in BASES:
                continue
            if name == "mean":
                bases[name] = of(np.zeros((len(x), r.basis.shape[1]))) if vanish else errors[name]
                continue
            polynomials[name] = powers, values = _polynomial(fitted, kept, vanish)
            bases[name] = of(_terms(x, powers, vanish) @ values)
        except (ValueError, np.linalg.LinAlgError):
            continue  # nothing to start from
    bases, errors = ({name: e for name, e in known.items() if np.isfinite(e)} for known in (bases, errors))
    return Judged(r, polynomials, bases, errors)


def _polynomial(fitted: Surrogate, r: Regression, vanish: Mapping[str, Any]) -> Polynomial:
    """A baseline in the terms of polynomials, fitted again with those that vanish where fields do, if they do."""
    arrays = fitted.arrays
    if fitted.name == "linear":
        m = arrays["slope"].shape[0]
        powers, values = np.vstack([np.eye(m), np.zeros((1, m))]), np.vstack([arrays["slope"], arrays["constant"]])
    else:
        powers, values = arrays["powers"], arrays["values"]
    powers = powers.astype(np.int64)
    if vanish:
        values = least_squares(_terms(r.x, powers, vanish), r.targets, r.weights, cut=polynomial.CUT)
    return powers, values


def _terms(
    x: Float[np.ndarray, "n m"], powers: Int[np.ndarray, "terms m"], vanish: Mapping[str, Any]
) -> Float[np.ndarray, "n terms"]:
    """Those of ``polynomial.py``, less what they are where fields vanish."""
    terms = polynomial.on_host(x, powers)
    return terms - polynomial.on_host(np.asarray(at_zero(vanish, jnp.asarray(x))), powers) if vanish else terms


def base_of(design: Design, problem: Problem, found: Judged, asked: str, learnt: bool = True) -> str:
    """The name of what the network corrects: ``asked``, or with "auto" the best at the rows held out.

    Args:
        learnt: whether fields are; with physics alone the mean is corrected.

    Raises:
        ValueError: it is not there to be corrected.
    """
    shifts = design.keeps_shifts(problem)
    known = {} if shifts or not learnt else found.bases
    if asked == "auto" and design.sees_fields and problem.inputs.dimension >= problem.shape[1]:
        return "mean"  # a number a node: what is wrong in a linear map of all of them no operator undoes
    if asked == "auto":
        least = min(known.values(), default=0.0) + EQUAL
        return next((name for name in BASES if known.get(name, np.inf) <= least), "mean")
    if asked == "mean" or asked in known:
        return asked
    if shifts:
        why = f"a {asked} map of the inputs does not keep the shifts that {design.name} keeps on a periodic grid"
    elif not learnt:
        why = "with physics alone no field is learnt"
    else:
        why = f"a {asked} map of the inputs could not be fitted, or no snapshots were held out to judge it by"
    raise ValueError(f"{design.name} cannot correct base={asked!r} here: {why}: leave base at 'auto', or take 'mean'")


def base_arrays(found: Judged, name: str) -> dict[str, np.ndarray]:
    """What a surrogate keeps of its base: none of the mean, which is another array."""
    if name == "mean":
        return {}
    powers, values = found.polynomials[name]
    kept = {"basis": found.regression.basis, "powers": powers, "values": values}
    return {BASE + key: np.asarray(array) for key, array in kept.items()}


def base_fields(arrays: Mapping[str, Any], x: Float[Array, "n m"]) -> Float[Array, "n N"] | Float[Array, " N"]:
    """The base at scaled features, in units of the amplitude; where fields vanish it does."""
    base = _base(arrays, x)
    return base - _base(arrays, at_zero(arrays, x)) if VANISH in arrays else base


def _base(arrays: Mapping[str, Any], x: Float[Array, "n m"]) -> Float[Array, "n N"] | Float[Array, " N"]:
    if BASE + "values" not in arrays:
        return jnp.asarray(arrays["norm.mean"])
    parts = {key: arrays[BASE + key] for key in ("powers", "values")}
    return polynomial.values({}, parts, x) @ jnp.asarray(arrays[BASE + "basis"]).T
