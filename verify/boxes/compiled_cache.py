"""What is slow to compile is made once and kept for whoever asks for the same again: the last few of a kind."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class CompiledCache(Generic[T]):
    """Compiled functions by key, of which the oldest goes where there are more than ``most``. Safe for threads: a
    second one that asks for what is being made waits for it.
    """

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, Lock()
        self._things: dict[Hashable, T] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make()`` gave under this key: now, or at an earlier call."""
        with self._lock:
            if key not in self._things:
                while len(self._things) >= self._most:
                    del self._things[next(iter(self._things))]
                self._things[key] = make()
            return self._things[key]
