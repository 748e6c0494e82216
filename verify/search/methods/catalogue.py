"""The methods by name. A name says what is done: one that changes gets another."""

from __future__ import annotations

from typing import Any

from .search import Method
from .standard_v1 import standard_v1

STANDARD = "standard-v1"
METHODS: dict[str, Method] = {STANDARD: standard_v1}


def find_method(name: Any) -> Method:
    """
    Raises:
        ValueError: there is none of this name; those that there are are named.
    """
    if not isinstance(name, str) or name not in METHODS:
        raise ValueError(f"there is no method {name!r} of falsification: method= is one of {', '.join(METHODS)}")
    return METHODS[name]
