"""Jets of piecewise functions: max, min, |x|, select and the comparisons that steer it.

A comparison of two intervals is decided, yes or no, or it is not. Undecided, both branches are possible: values lie in
the hull of the two; see ``jet`` (kinks) for what is left of the derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from jax import Array

from . import ball
from .ball import Ball
from .elementary import absolute as absolute_of
from .jet import Jet, Setting, aligned, neg, tighten


@dataclass(frozen=True)
class Truth:
    """Where a statement certainly holds, and where it certainly does not: over the box, and at its centre."""

    yes: Array
    no: Array
    centre_yes: Array
    centre_no: Array

    def map(self, f: Callable[[Array], Array]) -> Truth:
        return Truth(f(self.yes), f(self.no), f(self.centre_yes), f(self.centre_no))


def known(value: Array) -> Truth:
    return Truth(value, ~value, value, ~value)


def negation(a: Truth) -> Truth:
    return Truth(a.no, a.yes, a.centre_no, a.centre_yes)


def conjunction(a: Truth, b: Truth) -> Truth:
    return Truth(a.yes & b.yes, a.no | b.no, a.centre_yes & b.centre_yes, a.centre_no | b.centre_no)


def compare(name: str, a: Jet, b: Jet, setting: Setting, same: bool = False) -> Truth:
    """lt, le, gt, ge, eq or ne. ``same``: both sides are one variable, and x = x unless x may be NaN."""
    if name in ("gt", "ge"):
        return compare({"gt": "lt", "ge": "le"}[name], b, a, setting, same)
    if name == "ne":
        return negation(compare("eq", a, b, setting, same))
    a, b = tighten(a, setting), tighten(b, setting)
    over_box = _decide(name, a.base, b.base, same)
    if a.centre is None or b.centre is None:
        return Truth(*over_box, *over_box)
    return Truth(*over_box, *_decide(name, a.centre, b.centre, same))


def _decide(name: str, a: Ball, b: Ball, same: bool) -> tuple[Array, Array]:
    (a_low, a_high), (b_low, b_high) = _ends(a), _ends(b)
    fine = ~(jnp.isinf(a_high - a_low) | jnp.isinf(b_high - b_low))
    below, above = a_high < b_low, b_high < a_low
    exact = (a.rad == 0) & (b.rad == 0)
    equal = ball.bounded(a) if same else exact & (a.mid == b.mid)
    yes, no = {
        "lt": (below, above | equal),
        "le": (below | equal, above),
        "eq": (equal, below | above),
    }[name]
    return yes & fine, no & fine


def _ends(a: Ball) -> tuple[Array, Array]:
    """lower and upper; programs also compare with the constants inf and -inf, which are no balls."""
    infinite = jnp.isinf(a.mid) & (a.rad == 0)
    return jnp.where(infinite, a.mid, ball.lower(a)), jnp.where(infinite, a.mid, ball.upper(a))


def choose(yes: Array, no: Array, a: Jet, b: Jet, setting: Setting, continuous: bool) -> Jet:
    """a where yes, b where no, else what both allow. ``continuous``: a = b where the branches meet."""

    def pick(x: Ball, y: Ball, undecided: Ball) -> Ball:
        extra = len(x.shape) - len(a.shape)
        first, second = (jnp.broadcast_to(w, a.shape)[(None,) * extra] for w in (yes, no))
        mid = jnp.where(first, x.mid, jnp.where(second, y.mid, undecided.mid))
        return Ball(mid, jnp.where(first, x.rad, jnp.where(second, y.rad, undecided.rad)))

    apart = ball.sub(a.base, b.base)
    keys = setting.indices()  # also where both terms are zero: across a kink they are not
    base = pick(a.base, b.base, ball.union(a.base, b.base))
    if not keys:
        return Jet(base)
    x, y = aligned(a, keys, setting.rows), aligned(b, keys, setting.rows)
    either = ball.everything(x.shape)
    if setting.sums is not None and not continuous:  # the computed value may be on the other branch than the exact one
        either = ball.union(ball.union(x, y), ball.union(apart, ball.neg(apart))[None, None])
    elif continuous:
        first, slopes = ball.leading(np.array([sum(k) == 1 for k in keys]), x.shape[1:]), ball.union(x, y)
        either = Ball(jnp.where(first, slopes.mid, either.mid), jnp.where(first, slopes.rad, either.rad))
    return Jet(base, None, pick(x, y, either), keys)


def select(truth: Truth, on_true: Jet, on_false: Jet, setting: Setting) -> Jet:
    a, b = tighten(on_true, setting), tighten(on_false, setting)
    out = choose(truth.yes, truth.no, a, b, setting, continuous=False)
    if a.centre is None or b.centre is None:
        return out
    values = setting.at_points()
    at_centre = choose(truth.centre_yes, truth.centre_no, Jet(a.centre), Jet(b.centre), values, continuous=False)
    return replace(out, centre=at_centre.base)


def maximum(a: Jet, b: Jet, setting: Setting) -> Jet:
    a, b = tighten(a, setting), tighten(b, setting)
    (a_low, a_high), (b_low, b_high) = _ends(a.base), _ends(b.base)
    out = choose(a_low >= b_high, b_low >= a_high, a, b, setting, continuous=True)
    centre = None if a.centre is None or b.centre is None else larger(a.centre, b.centre)
    return replace(out, base=larger(a.base, b.base), centre=centre)


def larger(a: Ball, b: Ball) -> Ball:
    """max(x, y); of two balls that do not overlap, one of them as it is."""
    (a_low, a_high), (b_low, b_high) = _ends(a), _ends(b)
    either = ball.poison(ball.hull(jnp.maximum(a_low, b_low), jnp.maximum(a_high, b_high)), a, b)
    first, second = a_low >= b_high, b_low >= a_high
    mid = jnp.where(first, a.mid, jnp.where(second, b.mid, either.mid))
    return Ball(mid, jnp.where(first, a.rad, jnp.where(second, b.rad, either.rad)))


def minimum(a: Jet, b: Jet, setting: Setting) -> Jet:
    return neg(maximum(neg(a), neg(b), setting))


def absolute(a: Jet, setting: Setting) -> Jet:
    a = tighten(a, setting)
    yes, no = ball.lower(a.base) >= 0, ball.upper(a.base) <= 0
    out = choose(yes, no, a, neg(a), setting, continuous=True)
    return replace(out, base=absolute_of(a.base), centre=None if a.centre is None else absolute_of(a.centre))
