"""Equal problems share what is computed and compiled of them.

``representative(problem)`` is the one object that stands for every problem of the same class and fields: whatever is
kept by problem (compiled solves and bounds, estimates, sentences) is kept of it. The fields are looked at each time,
and it is a copy that nobody else holds: a problem whose fields were changed in place is another one from then on, and
what was compiled of its former self stays right for those that are still equal to that.

Only fields that cannot change without becoming another object take part: numbers, words, tuples of these. A problem
with arrays or functions of its own may change behind them, a class of somebody's own by what its methods look up: these
stand for themselves alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from functools import cache, cached_property, lru_cache, wraps
from threading import Lock
from typing import Any, Concatenate, ParamSpec, TypeVar, cast
from weakref import WeakValueDictionary

import numpy as np

P = TypeVar("P")  # a problem
T = TypeVar("T")
More = ParamSpec("More")
KEPT = 16  # that outlive the problems they stand for

_all: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()
_recent: OrderedDict[Hashable, Any] = OrderedDict()
_lock = Lock()


class _NoValue(Exception):
    """Of a field that may change in place."""


def representative(problem: P) -> P:
    """The problem that stands for all that equal this one as it is now; itself where no other can."""
    settings = _settings(problem)
    key = None if settings is None else _key(type(problem), settings)
    if settings is None or key is None:
        return problem
    with _lock:
        found = _all.get(key)
        if found is not None:
            now = _settings(found)
            if now is None or _key(type(found), now) != key:  # somebody got hold of it and changed it
                found = None
        if found is None:
            found = _all[key] = _made(type(problem), settings)
        _recent[key] = found
        _recent.move_to_end(key)
        while len(_recent) > KEPT:
            _recent.popitem(last=False)
    if problem is not found:
        cast(Any, problem).stands_for_it[:] = [found]  # as long as the problem lives
    return cast(P, found)


def kept_by_problem(
    maxsize: int,
) -> Callable[[Callable[Concatenate[P, More], T]], Callable[Concatenate[P, More], T]]:
    """``lru_cache`` of a function of a problem (and more that can be hashed), of which equal problems have one result.

    What it is called with, and may keep, is the representative.
    """

    def decorate(function: Callable[Concatenate[P, More], T]) -> Callable[Concatenate[P, More], T]:
        cached: Any = lru_cache(maxsize=maxsize)(cast(Any, function))

        @wraps(function)
        def of_equal(problem: P, *args: More.args, **kwargs: More.kwargs) -> T:
            return cast(T, cached(representative(problem), *args, **kwargs))

        return cast(Callable[Concatenate[P, More], T], of_equal)

    return decorate


def _settings(problem: Any) -> dict[str, Any] | None:
    """The fields, each read once: key and copy are of the same, whatever another thread writes meanwhile."""
    known = _attributes(cast(Any, type(problem)))
    if known is None:
        return None
    names, computed = known
    if any(name not in names and name not in computed for name in vars(problem)):
        return None  # it was given something that its class knows nothing of
    return {name: getattr(problem, name) for name in names}


def _key(kind: type, settings: dict[str, Any]) -> Hashable | None:
    try:
        return (kind, *map(_value, settings.values()))
    except _NoValue:
        return None


@cache
def _attributes(kind: type) -> tuple[tuple[str, ...], frozenset[str]] | None:
    """The names of fields, and of what is computed from them, of a class of this library; None for others."""
    if not (kind.__module__.startswith(f"{__package__}.") and is_dataclass(kind)):
        return None
    members = {name: x for base in reversed(kind.__mro__) for name, x in vars(base).items()}
    return tuple(f.name for f in fields(kind)), frozenset(
        name for name, x in members.items() if isinstance(x, cached_property)
    )


def _value(x: Any) -> Hashable:
    """A number, a word or a tuple of these with its type and to the bit: 1, 1.0 and True differ, as do 0.0 and -0.0."""
    if x is None or type(x) in (bool, int, str):
        return type(x), x
    if type(x) is float:
        return float, x.hex()
    if isinstance(x, np.generic) and x.dtype.kind in "biuf":
        return x.dtype.str, x.tobytes()
    if type(x) is tuple:
        return tuple(_value(y) for y in x)
    raise _NoValue


def _made(kind: type, settings: dict[str, Any]) -> Any:
    """A problem with these fields, and nothing that was computed from others."""
    made: Any = object.__new__(kind)
    vars(made).update(settings)
    return made
