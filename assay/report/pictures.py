"""Pictures of a report: drawn from what was read, in matplotlib's own style, as SVG."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..solvers.box import Box
from ..verify.boxes.trust_map import TrustMap
from .content import Picture, real
from .sources import Sources

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..solvers.snapshots.snapshot_file import Snapshots


def _svg(caption: str, draw: Callable[[], Figure]) -> Picture:
    from ..drawing.files import own_style, picture

    with own_style():
        return Picture(caption, picture(draw(), "svg"))


def curve_picture(sources: Sources, training: dict[str, Any], curve: list[Any]) -> Picture:
    from ..drawing.learning import learning_figure

    return _svg("Learning curve (recorded)", lambda: learning_figure({**training, "curve": [real(x) for x in curve]}))


def fields_picture(sources: Sources, found: Snapshots) -> Picture:
    from ..drawing.snapshots import snapshots_figure

    return _svg("Solutions by the solver (observed)", lambda: snapshots_figure(found, sources.problem))


def failures_picture(box: Box, found: dict[str, Any]) -> Picture:
    from ..drawing.failures import Searched, failures_figure

    names = box.names
    searched = Searched(
        box=box,
        inputs=np.array([[real(x) for x in row] for row in found["compared"]["inputs"]]).reshape(-1, box.dimension),
        errors=np.array([real(x) for x in found["compared"]["errors"]]),
        tolerance=real(found["tolerance"]),
        unsolved=np.array([[real(u["inputs"][n]) for n in names] for u in found["unsolved"]]).reshape(
            -1, box.dimension
        ),
        hulls=[np.array(region["hull"], dtype=float) for region in found["regions"] if region["hull"] is not None],
        title=str(found["found"]),
    )
    return _svg("Inputs that the search compared with the solver (observed)", lambda: failures_figure(searched))


def bounds_picture(lower: list[float], upper: list[float], tolerance: Any, evidence: str) -> Picture:
    from ..drawing.bounds import bounds_figure

    allowed = None if tolerance is None else real(tolerance)
    caption = f"Bounds of the relative error, sorted ({evidence})"
    return _svg(caption, lambda: bounds_figure(np.array(lower), np.array(upper), tolerance=allowed))


def trust_map_picture(trust: TrustMap) -> Picture:
    from ..drawing.trust_map import trust_map_figure

    return _svg("Trust map (proved)", lambda: trust_map_figure(trust))
