"""The last few of things that are slow to make, such as compiled functions."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class CompiledCache(Generic[T]):
    """``get`` makes a thing, or hands out the one that was made under this key. Safe for threads."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, Lock()
        self._things: dict[Hashable, T] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            if key not in self._things:
                while len(self._things) >= self._most:
                    del self._things[next(iter(self._things))]
                self._things[key] = make()
            return self._things[key]
