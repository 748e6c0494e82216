"""How fields are laid out to be drawn: where values lie, which parts of a field are shown, at which times.

A field of one component is shown as it is, one of displacements or velocities by its magnitude with arrows, a complex
one by modulus and phase, any other component by component.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from ..solvers.problem import Problem

COMPLEX = ("real part", "imaginary part")
FRAMES = 5  # of a time-dependent field
ARROWS = 14  # along a side


@dataclass(frozen=True)
class Part:
    """``values`` of what is shown of a field; ``arrows`` over it; an angle goes round."""

    name: str
    values: Float[np.ndarray, "times nodes"]
    arrows: Float[np.ndarray, "times nodes 2"] | None = None
    angle: bool = False


class Layout:
    """Of the fields of ``problem``; without one, of flat values by their numbers."""

    def __init__(self, problem: Problem | None, size: int = 0) -> None:
        self.times, self.nodes, self.components = (1, size, 1) if problem is None else problem.shape
        self.names: Sequence[str] = ("",) if problem is None else problem.component_names
        points = np.arange(float(size))[:, None] if problem is None else np.asarray(problem.coordinates)
        self.own_time = self.times > 1 and len(points) == self.times * self.nodes  # coordinates list (time, place)
        self.places = points[: self.nodes, 1:] if self.own_time else points
        self.axes = self.places.shape[1]
        self.clock = points[:: self.nodes, 0] if self.own_time else np.arange(self.times, dtype=float)
        self.axis_name = "x" if problem is not None else "number of the value"
        level = self.places[:, -1][np.argmin(np.abs(self.places[:, -1] - np.median(self.places[:, -1])))]
        self.layer = self.places[:, -1] == level if self.axes > 2 else slice(None)  # of a body, one layer is shown

    @property
    def frames(self) -> list[int]:
        """The times that are shown; one where the times are an axis of the picture."""
        if self.times == 1 or self.axes == 1:
            return [self.times - 1]
        return sorted({round(k * (self.times - 1) / (FRAMES - 1)) for k in range(FRAMES)})

    def when(self, frame: int) -> str:
        """The time of a frame, in words; empty where there is none to tell."""
        if self.times == 1 or self.axes == 1:
            return ""
        return f"t = {self.clock[frame]:.3g}" if self.own_time else f"step {frame}"

    def parts(self, u: Any) -> list[Part]:
        """What is shown of a field [N]."""
        v = np.asarray(u, dtype=np.float64).reshape(self.times, self.nodes, self.components)
        if tuple(self.names) == COMPLEX:
            z = v[..., 0] + 1j * v[..., 1]
            return [Part("modulus", np.abs(z)), Part("phase", np.angle(z), angle=True)]
        if self.components == self.axes and self.axes > 1 and _is_vector(self.names):
            return [Part("magnitude", np.linalg.norm(v, axis=-1), v[..., :2])]
        return [Part(name, v[..., c]) for c, name in enumerate(self.names)]

    def magnitude(self, u: Any) -> Float[np.ndarray, "times nodes"]:
        """One number a node: the size where there are several components."""
        v = np.asarray(u, dtype=np.float64).reshape(self.times, self.nodes, self.components)
        return v[..., 0] if self.components == 1 else np.linalg.norm(v, axis=-1)

    def note(self) -> str:
        """What one picture of the ``magnitude`` leaves out."""
        parts = ["magnitude"] if self.components > 1 else []
        if self.times > 1 and self.axes > 1:
            parts.append(f"at t = {self.clock[-1]:.3g}")
        return ", ".join(parts)

    def grid(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """x ticks, y ticks and the node's number at each crossing, where the nodes form a rectangular grid."""
        x, i = np.unique(np.round(self.places[:, 0], 12), return_inverse=True)
        y, j = np.unique(np.round(self.places[:, 1], 12), return_inverse=True)
        if len(x) * len(y) != self.nodes:
            return None
        number = np.full((len(y), len(x)), -1)
        number[j.ravel(), i.ravel()] = np.arange(self.nodes)
        return (x, y, number) if (number >= 0).all() else None


def _is_vector(names: Sequence[str]) -> bool:
    """Components that are called u_x, u_y (, u_z), or u, v (, w)."""
    stems = {re.sub(r"[_ ]?[xyz]$", "", name) for name in names}
    along = [name[-1:] for name in names] == list("xyz")[: len(names)]
    return (len(stems) == 1 and along) or list(names) == list("uvw")[: len(names)]


def panel(
    axes: Axes, layout: Layout, values: Float[np.ndarray, "times nodes"], colours: dict[str, Any], frame: int = -1
) -> Any:
    """One part of one field over x and y at a time, over x and t, or over x, which is a line and has no colours."""
    if layout.axes == 1 and layout.times == 1:
        axes.plot(layout.places[:, 0], values[0], color="tab:blue")
        axes.set_xlabel(layout.axis_name)
        return None
    if layout.axes == 1:
        order = np.argsort(layout.places[:, 0])
        drawn = axes.pcolormesh(
            layout.places[order, 0], layout.clock, values[:, order], shading="nearest", rasterized=True, **colours
        )
        axes.set(xlabel="x", ylabel="t")
        return drawn
    axes.set_aspect("equal")
    axes.set(xlabel="x", ylabel="y")
    if layout.axes > 2:
        x, y = layout.places[layout.layer, 0], layout.places[layout.layer, 1]
        return axes.scatter(x, y, c=values[frame][layout.layer], s=9, rasterized=True, **colours)
    grid = layout.grid()
    if grid is None:
        return axes.tripcolor(
            layout.places[:, 0], layout.places[:, 1], values[frame], shading="gouraud", rasterized=True, **colours
        )
    x, y, number = grid
    return axes.pcolormesh(x, y, values[frame][number], shading="gouraud", rasterized=True, **colours)


def arrows(axes: Axes, layout: Layout, part: Part, frame: int) -> None:
    """Directions over a picture of magnitudes, at few places."""
    if part.arrows is None or layout.axes != 2:
        return
    low, high = layout.places.min(axis=0), layout.places.max(axis=0)
    spacing = float((high - low).max()) / ARROWS or 1.0
    cells = np.floor((layout.places - low) / spacing).astype(int)
    _, chosen = np.unique(cells, axis=0, return_index=True)
    v = part.arrows[frame][chosen]
    longest = float(np.linalg.norm(part.arrows, axis=-1).max()) or 1.0
    axes.quiver(
        *layout.places[chosen].T, *v.T, color="white", edgecolor="black", linewidth=0.3, angles="xy",
        scale_units="xy", scale=longest / (1.6 * spacing), width=0.006, zorder=3,
    )  # fmt: skip


def colours(part: Part, values: Sequence[np.ndarray]) -> dict[str, Any]:
    """One scale for all ``values`` of a part."""
    if part.angle:
        return {"cmap": "twilight", "vmin": -np.pi, "vmax": np.pi}
    return scale(np.concatenate([np.ravel(v) for v in values]))


def scale(values: np.ndarray) -> dict[str, Any]:
    """Colours from the smallest to the largest number."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    return {"cmap": "viridis", "vmin": low, "vmax": high if high > low else low + 1.0}
