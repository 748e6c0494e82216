"""Whether the grid of somebody's file is periodic: what its layout says, along every axis, in the one word that a data
set has for it.
"""

from __future__ import annotations

from collections.abc import Sequence

UNSAID = "nothing in it says whether its grid is periodic, and it is taken as not: periodic=True where it is"


def around(axes: Sequence[str], sides: Sequence[int], periodic: Sequence[str], every: int) -> tuple[bool, str]:
    """Whether every axis is periodic, and what is to be said where that is not all that the file says.

    Args:
        sides: nodes along each axis, of the file.
        periodic: the axes that the file says are.
        every: of how many nodes one is read; where the last gap is not as wide as the others the circle is broken.
    """
    open_axes = [axis for axis in axes if axis not in periodic]
    if open_axes and len(open_axes) < len(axes):
        closed = ", ".join(axis for axis in axes if axis in periodic)
        return False, (
            f"its grid is periodic along {closed} and not along {', '.join(open_axes)}, for which a data set has no "
            "word: it is taken as not periodic"
        )
    broken = [side for side in sides if side % every]
    if not open_axes and broken:
        return False, (
            f"its grid is periodic, and every_node={every} does not divide its {broken[0]} nodes, so that the last gap "
            "is another: it is taken as not periodic"
        )
    return not open_axes, ""
