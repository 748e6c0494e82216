"""The parameter domain: a closed box with names, scales, units and a sampling law per input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from .real import real_array
from .seed import checked_seed

LAWS = ("uniform", "log-uniform", "normal")
DRAWS = 5  # a stream of random numbers of their own for independent draws
MANY, SHOWN = 20, 6  # names in a line of words
SLACK = 1e-12  # relative to the unit coordinate: rounding of the unit map never throws out a point of the boundary


def _names(names: Any) -> tuple[str, ...]:
    """One string is one name: ("stiffness") is no tuple."""
    found = (names,) if isinstance(names, str) else tuple(names) if np.iterable(names) else (names,)
    for name in found:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"the names of inputs are words, such as 'k1', not {name!r}")
    return tuple(str(name) for name in found)


def _flags(log: Any, d: int) -> tuple[bool, ...]:
    """A flag for each of the d inputs; one alone stands for all."""
    if isinstance(log, bool | np.bool_):
        return (bool(log),) * d
    found = tuple(log) if np.iterable(log) and not isinstance(log, str) else (log,)
    if not all(isinstance(flag, bool | np.bool_) for flag in found):
        raise ValueError(f"log says of each input whether it is scaled by its logarithm: True or False, not {log!r}")
    return tuple(bool(flag) for flag in found)


def _strings(words: Any, what: str, d: int) -> tuple[str, ...]:
    """A string for each input; one alone is allowed where there is one input, or where it is empty."""
    if isinstance(words, str):
        if d > 1 and words:
            raise ValueError(f"{what}={words!r} is one string for {d} inputs: give one each, ({words!r},) * {d}")
        words = (words,) if words else ()
    if not np.iterable(words) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{what} are words, one for each input, not {words!r}")
    return tuple(str(word) for word in words)


def few(words: Sequence[str]) -> str:
    """In a line that can be read: the values of a function are thousands of inputs."""
    if len(words) <= MANY:
        return ", ".join(words)
    return f"{', '.join(words[:SHOWN])}, ... ({len(words)} in all)"


@dataclass(frozen=True, eq=False)
class Box:
    """Closed box of inputs.

    ``log`` inputs are scaled by their logarithm; ``laws`` (uniform, log-uniform, or normal: centred in the box with the
    box as its +-3 standard deviations, truncated there) say how each is drawn, by default evenly in its own scale. One
    name, unit or law stands for one input, one ``log`` flag for all.

    Raises:
        ValueError: bounds that are not finite or not increasing, a log input that is not positive, unequal lengths,
            names, units or laws that are no words.
    """

    names: tuple[str, ...]
    lower: Float[np.ndarray, " d"]
    upper: Float[np.ndarray, " d"]
    log: tuple[bool, ...] = ()
    units: tuple[str, ...] = ()
    laws: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "names", _names(self.names))
        d = len(self.names)
        for what in ("lower", "upper"):
            put(self, what, real_array(getattr(self, what), f"the box's {what} bounds have").reshape(-1))
        put(self, "log", _flags(self.log, d) or (False,) * d)
        put(self, "units", _strings(self.units, "units", d) or ("",) * d)
        laws = _strings(self.laws, "laws", d)
        put(self, "laws", laws or tuple("log-uniform" if flag else "uniform" for flag in self.log))
        for what in ("lower", "upper", "log", "units", "laws"):
            if len(getattr(self, what)) != d:
                raise ValueError(f"a box of {d} inputs needs {d} entries in {what!r}, not {len(getattr(self, what))}")
        if d == 0 or len(set(self.names)) != d:
            raise ValueError(f"the inputs of a box need distinct names, not {self.names}")
        for i, name in enumerate(self.names):
            low, high = self.lower[i], self.upper[i]
            if not (np.isfinite(low) and np.isfinite(high) and low < high):
                fixed = ": a fixed input is a narrow interval" if low == high else ""
                raise ValueError(f"input {name!r} needs finite bounds with lower < upper, not [{low}, {high}]{fixed}")
            if (self.log[i] or self.laws[i] == "log-uniform") and low <= 0:
                raise ValueError(f"input {name!r} is log-scaled and needs a positive lower bound, not {low}")
            if self.laws[i] not in LAWS:
                raise ValueError(f"input {name!r}: the law must be one of {', '.join(LAWS)}, not {self.laws[i]!r}")
        self.lower.flags.writeable = self.upper.flags.writeable = False

    def __repr__(self) -> str:
        ends = zip(self.names, self.lower, self.upper, self.log, strict=True)
        said = [f"{name} in [{low:.4g}, {high:.4g}]" + " log" * log for name, low, high, log in ends]
        return f"Box({few(said)})"

    @property
    def dimension(self) -> int:
        """d, the number of inputs."""
        return len(self.names)

    @property
    def centre(self) -> Float[np.ndarray, " d"]:
        """The middle of the box, of logarithms where an input is scaled by them: the image of (1/2, .., 1/2)."""
        return self.from_unit(np.full(self.dimension, 0.5))

    @property
    def listed(self) -> str:
        """The names in a line: the first of many."""
        return few(self.names)

    def named(self, p: ArrayLike) -> str:
        """An input in words: "k1=0.5, k2=2", the first of many."""
        return few([f"{name}={x:.6g}" for name, x in zip(self.names, np.asarray(p), strict=True)])

    def to_unit(self, P: ArrayLike) -> Float[np.ndarray, "*n d"]:
        """Coordinates in [0, 1]^d, logarithmic where the input is."""
        P = np.asarray(P, dtype=np.float64)
        low, width = self.scaled_ends()
        log = np.array(self.log)
        with np.errstate(divide="ignore", invalid="ignore"):
            return (np.where(log, np.log(np.where(log, P, 1.0)), P) - low) / width

    def from_unit(self, X: ArrayLike) -> Float[np.ndarray, "*n d"]:
        """The inverse of ``to_unit``; points of [0, 1]^d land in the closed box whatever the rounding."""
        X = np.asarray(X, dtype=np.float64)
        low, width = self.scaled_ends()
        log = np.array(self.log)
        scaled = low + X * width
        P = np.where(log, np.exp(np.where(log, scaled, 0.0)), scaled)
        inside = (X >= 0) & (X <= 1)
        P = np.where(inside, np.clip(P, self.lower, self.upper), P)
        return np.where(X == 0, self.lower, np.where(X == 1, self.upper, P))

    def scaled_ends(self) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
        """The lower ends and the widths of the inputs, of the logarithm where an input is scaled by it."""
        log = np.array(self.log)
        low = np.where(log, np.log(np.where(log, self.lower, 1.0)), self.lower)
        high = np.where(log, np.log(np.where(log, self.upper, 1.0)), self.upper)
        return low, high - low

    def contains(self, P: ArrayLike) -> np.ndarray:
        """Which rows lie in the closed box, with 1e-12 slack in unit coordinates; NaN is outside. [n, d] -> [n]."""
        X = self.to_unit(P)
        with np.errstate(invalid="ignore"):
            return np.asarray(((X >= -SLACK) & (X <= 1 + SLACK)).all(axis=-1))

    def rows(self, P: ArrayLike) -> Float[np.ndarray, "n d"]:
        """``P`` as a float64 matrix of inputs: a copy, so that nobody who is handed it can change the question.

        Raises:
            ValueError: not numbers, not [n, d] with the d of this box, NaN or infinite (naming row and input).
        """
        P = real_array(P, f"inputs must be an [n, {self.dimension}] array of numbers: it has")
        if P.ndim != 2 or P.shape[1] != self.dimension:
            raise ValueError(
                f"inputs must have shape [n, {self.dimension}] ({', '.join(self.names)}), not {list(P.shape)}"
            )
        bad = np.argwhere(~np.isfinite(P))
        if len(bad):
            i, j = bad[0]
            raise ValueError(f"row {i}, input {self.names[j]!r}: {P[i, j]} is not a finite number")
        return P

    def check(self, P: ArrayLike) -> Float[np.ndarray, "n d"]:
        """``rows(P)``, all of them inside the closed box.

        Raises:
            ValueError: as ``rows``, or a value outside the box, naming row and input.
        """
        P = self.rows(P)
        if ((self.lower <= P) & (self.upper >= P)).all():  # the usual case; the unit map is only needed for its slack
            return P
        X = self.to_unit(P)
        bad = np.argwhere(~((X >= -SLACK) & (X <= 1 + SLACK)))
        if len(bad):
            i, j = bad[0]
            raise ValueError(
                f"row {i}, input {self.names[j]!r}: {P[i, j]:.6g} is outside [{self.lower[j]:.6g}, {self.upper[j]:.6g}]"
            )
        return P

    def sample(self, n: int, seed: int = 0) -> Float[np.ndarray, "n d"]:
        """The first n points of a scrambled Sobol sequence under the sampling laws; a longer sample begins the same."""
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"a sample needs a whole number, at least one point, not {n!r}")
        power = max(int(np.ceil(np.log2(n))), 0)
        from scipy.stats import qmc  # half a second, which a solve at given inputs does not need

        X = qmc.Sobol(self.dimension, scramble=True, rng=checked_seed(seed)).random_base2(power)[:n]
        return self.from_law(X)

    def draw(self, n: int, seed: int = 0) -> Float[np.ndarray, "n d"]:
        """n independent draws from the sampling laws, for statistics; a longer sample begins the same."""
        return self.from_law(np.random.default_rng([checked_seed(seed), DRAWS]).random((n, self.dimension)))

    def from_law(self, X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Quantiles: uniform points of [0, 1]^d to points drawn from the sampling laws."""
        P = np.empty_like(X)
        for j, law in enumerate(self.laws):
            low, high = self.lower[j], self.upper[j]
            if law == "uniform":
                P[:, j] = low + X[:, j] * (high - low)
            elif law == "log-uniform":
                P[:, j] = np.exp(np.log(low) + X[:, j] * (np.log(high) - np.log(low)))
            else:  # normal, truncated at three standard deviations
                tail = ndtr(-3.0)
                P[:, j] = (low + high) / 2 + (high - low) / 6 * ndtri(tail + X[:, j] * (1 - 2 * tail))
        return np.clip(P, self.lower, self.upper)

    def split(self, axis: int) -> tuple[Box, Box]:
        """The two halves of the box, cut at the middle of ``axis`` in that input's own scale."""
        cut = self.centre[axis]
        lower, upper = self.lower.copy(), self.upper.copy()
        upper[axis] = lower[axis] = cut
        return self.replace(upper=upper), self.replace(lower=lower)

    def replace(self, **changes: Any) -> Box:
        """A box with other bounds but the same names, scales, units and laws."""
        kept = {k: getattr(self, k) for k in ("names", "lower", "upper", "log", "units", "laws")}
        return Box(**{**kept, **changes})

    def intersects(self, other: Box) -> bool:
        """Whether the two closed boxes share a point."""
        return bool(np.all(self.lower <= other.upper) and np.all(other.lower <= self.upper))

    def to_json(self) -> dict[str, Any]:
        """The box as JSON values; ``from_json`` makes it again."""
        return {
            "names": list(self.names),
            "lower": self.lower.tolist(),
            "upper": self.upper.tolist(),
            "log": list(self.log),
            "units": list(self.units),
            "laws": list(self.laws),
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Box:
        """The box that ``to_json`` wrote.

        Raises:
            KeyError: something is missing.
            ValueError, TypeError: what stands there is no box.
        """
        return Box(
            tuple(data["names"]),
            np.array(data["lower"]),
            np.array(data["upper"]),
            tuple(data["log"]),
            tuple(data["units"]),
            tuple(data["laws"]),
        )
