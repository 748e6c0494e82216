"""Rigorous ranges and derivatives of JAX functions over boxes, by interval Taylor jets with their rounding covered."""

from .ball import Ball
from .bounds import coefficients, directional, enclose, gram_bound, norm_bound, rounding_error
from .range_search import Range, range_bound
from .values import UnsupportedOperation

__all__ = [
    "Ball",
    "Range",
    "UnsupportedOperation",
    "coefficients",
    "directional",
    "enclose",
    "gram_bound",
    "norm_bound",
    "range_bound",
    "rounding_error",
]
