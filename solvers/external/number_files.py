"""Numbers in files, as other programs read and write them. The suffix says how:

.npy         numpy's own: float64, [d] for inputs
all others   text: one number a line with 17 digits, which gives the same bits back. Read are numbers between blanks,
             commas and line ends, row by row; what follows a # is left out, and Fortran's 1.5D+00 is 1.5
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from ..answers import Refused, words

SHOWN = 40  # characters of a word that is no number


def write_numbers(path: Path, p: Float[np.ndarray, " d"]) -> None:
    """
    Raises:
        OSError: the file cannot be written.
    """
    if path.suffix == ".npy":
        np.save(path, p)
    else:
        path.write_text(as_text(p))


def as_text(p: Float[np.ndarray, " d"]) -> str:
    """One number a line."""
    return "".join(f"{x!r}\n" for x in p.tolist())


def read_numbers(path: Path, called: str) -> np.ndarray:
    """
    Args:
        called: the words that a message calls the file by.

    Raises:
        Refused: what stands there are no numbers.
    """
    if path.suffix != ".npy":
        return from_text(path.read_text(errors="replace"), called)
    try:
        found: np.ndarray = np.load(path, allow_pickle=False)
        return found
    except Exception as error:  # whatever numpy makes of damaged files
        raise Refused(f"answered with a file that numpy cannot read, {called}: {words(error)}") from None


def from_text(text: str, called: str) -> Float[np.ndarray, " N"]:
    """
    Raises:
        Refused: a word is no number; line and word are named.
    """
    numbers: list[float] = []
    for i, line in enumerate(text.splitlines(), start=1):
        for word in line.partition("#")[0].replace(",", " ").split():
            try:
                numbers.append(_number(word))
            except ValueError:
                raise Refused(f"answered with {word[:SHOWN]!r} in line {i} of {called}: not a number") from None
    return np.array(numbers)


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float(word.replace("D", "e").replace("d", "e"))
