"""Cells of one kind as they are made and kept: a stage for each range of reynolds, an array for each of their parts.

A profile at which a range has no cell is given up in all ranges above it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ....solvers.problems.cavity import Cavity
from ..constants import Arrays, Known
from .cells import Degrees, Solved, control_fields, controls, corners

Constants = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple | None]  # low, high, fields -> parts, or no cell


@dataclass(frozen=True)
class Bands:
    """``breaks`` of cells in reynolds and in profile; ``parts``: beside low, high and fields, each with its shape in a
    cell; ``prefix``: of the arrays' names.
    """

    problem: Cavity
    breaks: tuple[np.ndarray, np.ndarray]
    degrees: Degrees
    parts: Mapping[str, tuple[int, ...]]
    prefix: str = ""

    def __len__(self) -> int:
        return len(self.breaks[0]) - 1

    def shapes(self) -> dict[str, tuple[int, ...]]:
        fields = (controls(self.degrees), (self.problem.cells - 1) ** 2)
        return {"low": (2,), "high": (2,), "fields": fields, **self.parts}

    def name(self, part: str, band: int) -> str:
        return f"{self.prefix}{part}_{band}"

    def made(self, band: int, known: Known, solved: Solved, constants: Constants) -> Arrays:
        """One range; ``solved`` is added to."""
        lows, highs = corners((self.breaks[0][band : band + 2], self.breaks[1]))
        if band:
            still = np.isin(lows[:, 1], known[self.name("low", band - 1)][:, 1])
            lows, highs = lows[still], highs[still]
        kept = []
        for low, high in zip(lows, highs, strict=True):
            fields = control_fields(self.problem, low, high, self.degrees, solved)
            parts = None if fields is None else constants(low, high, fields)
            if parts is not None:
                kept.append((low, high, fields, *parts))
        return {
            self.name(part, band): np.array([cell[i] for cell in kept], dtype=np.float64).reshape(-1, *shape)
            for i, (part, shape) in enumerate(self.shapes().items())
        }

    def gathered(self, known: Known) -> dict[str, np.ndarray]:
        """The cells of all ranges that are there, by part."""
        return {
            part: np.concatenate(
                [np.zeros((0, *shape)), *(known[key] for i in range(len(self)) if (key := self.name(part, i)) in known)]
            )
            for part, shape in self.shapes().items()
        }

    def objection(self, band: int, made: Arrays, possible: Callable[[dict[str, np.ndarray]], bool]) -> str:
        """What is wrong with the arrays of one range; "" where nothing is: ``possible`` of the parts."""
        shapes = self.shapes()
        if set(made) != {self.name(part, band) for part in shapes}:
            return "its arrays are others"
        found = {part: made[self.name(part, band)] for part in shapes}
        for part, shape in shapes.items():
            if found[part].shape != (len(found["low"]), *shape) or found[part].dtype != np.float64:
                return f"{part} has another shape"
        good = (found["low"] < found["high"]).all() and possible(found)
        return "" if good else "cells or constants are impossible"
