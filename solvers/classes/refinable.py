"""Problems that exist on finer and coarser grids: how far the truth is from the differential equation is estimated."""

from __future__ import annotations

import abc
from typing import Any

from ..problem import Problem
from .richardson import DiscretisationEstimate, richardson


class RefinableProblem(Problem):
    """A problem that knows the one on the next coarser grid, and the order at which both approach the solution."""

    @property
    @abc.abstractmethod
    def order(self) -> int:
        """The order of convergence, in the width of the cells, on smooth solutions that the grid resolves."""

    @property
    @abc.abstractmethod
    def coarser(self) -> RefinableProblem:
        """The same problem with half the cells per side, and steps in time so much longer that both errors grow alike.

        Raises:
            ValueError: these numbers cannot be divided, or too few are left.
        """

    def order_at(self, p: Any) -> float:
        """The order of convergence in the problem's norm at p: ``order``, less where the solution is not smooth."""
        return self.order

    # ---- final from here on ------------------------------------------------------------------------------------------

    def discretisation_error(self, p: Any) -> DiscretisationEstimate:
        """Richardson's estimate of the distance to the differential equation's solution, from this and a coarser grid.

        Raises:
            ValueError: an input outside the box, or a grid that cannot be coarsened.
            SolveError: one of the two solves failed.
        """
        return richardson(self, self.coarser, p, self.order_at(p))
