"""What flows through a program that is enclosed: jets, truths, and arrays that are known exactly."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from . import ball, jet
from .jet import Jet, Setting
from .piecewise import Truth

Value = Any  # Jet | Truth | jax.Array | np.ndarray


class UnsupportedOperation(ValueError):
    """A function uses an operation that has no rule; the message names it."""


def lift(value: Value, setting: Setting) -> Jet:
    """A known array as a jet."""
    if isinstance(value, Jet):
        return value
    if isinstance(value, Truth):
        raise UnsupportedOperation("arithmetic on the result of a comparison is not supported: use jnp.where")
    return jet.constant(ball.point(jnp.asarray(value, jnp.float64)), setting.sums is None)


def known(value: Value) -> bool:
    return not isinstance(value, (Jet, Truth))


def fit(value: Value, beside: list[Value], setting: Setting) -> Jet:
    """value as a jet of the common shape: programs may leave scalars beside arrays as they are."""
    shape = jnp.broadcast_shapes(*(np.shape(v) if known(v) else v.shape for v in beside))
    out = lift(value, setting)
    if out.shape == shape:
        return out
    return jet.rearrange([out], lambda x: jnp.broadcast_to(x, shape), setting)[0]
