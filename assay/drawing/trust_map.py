"""Pictures of trust maps: what is certified, falsified, undecided, and beside it the proved bound.

One input: a bar above the bound as a curve. Two: the map. More: slices along pairs of inputs through one point, the
worst input found if nothing else is said; of many inputs those that were halved most often.
"""

from __future__ import annotations

import textwrap
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm, to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter, NullLocator

from ..terminal.output import downward, upward
from ..verify.boxes.trust_map import VERDICTS, TrustMap
from .canvas import Figure

COLOURS = ("#56b4e9", "#d55e00", "#e4e4e4")  # of VERDICTS; told apart by all kinds of colour vision
UNKNOWN = "#4d4d4d"  # no bound
SHOWN = 4  # inputs of which pairs are shown
DECADES = 1e3  # of colours above and below the tolerance
EDGES = 4000  # leaves in one panel up to which their edges are drawn


def trust_map_figure(trust: TrustMap, point: Any = None) -> Figure:
    """The picture; where all of the box is undecided and unbounded it is a sentence.

    Args:
        point: the input [d] through which slices go, with more than two inputs.

    Raises:
        ValueError: a point outside the map's box.
    """
    drawn = _Picture(trust, point)
    if trust.undecided_volume == 1 and not np.isfinite(trust.bound).any():
        return _in_words(trust)
    return drawn.bar() if trust.box.dimension == 1 else drawn.slices()


def _in_words(trust: TrustMap) -> Figure:
    figure = Figure(figsize=(6.4, 1.6))
    said = f"{trust.problem_name}: nothing is decided anywhere in the box. {' '.join(trust.notes)}"
    figure.text(0.03, 0.9, textwrap.fill(said, 90), va="top", fontsize=8)
    return figure


class _Picture:
    def __init__(self, trust: TrustMap, point: Any) -> None:
        self.trust, self.box = trust, trust.box
        self.numbers, self.low, self.high = trust.leaves()
        self.x = self._through(point)
        bounds = trust.bound[self.numbers]
        finite = bounds[np.isfinite(bounds)]
        least, most = (finite.min(), finite.max()) if len(finite) else (trust.tolerance, trust.tolerance)
        low = float(np.clip(least, trust.tolerance / DECADES, trust.tolerance / 1.05))
        high = float(np.clip(most, trust.tolerance * 1.05, trust.tolerance * DECADES))
        self.norm = LogNorm(low, high)
        ends = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}
        self.extend = ends[bool(least < low), bool(most > high)]
        self.any_unknown = len(finite) < len(bounds)

    def _through(self, point: Any) -> Float[np.ndarray, " d"]:
        """The point of the slices in unit coordinates: the given one, the worst found, or the least known."""
        if point is not None:
            return np.clip(self.box.to_unit(self.box.check(np.reshape(point, (1, -1))))[0], 0.0, 1.0)
        if len(self.trust.witness):
            return np.asarray(self.trust.witness[np.argmax(self.trust.witness_lower)])
        worst = int(np.argmax(self.trust.bound[self.numbers]))
        return np.asarray((self.low[worst] + self.high[worst]) / 2)

    def pairs(self) -> list[tuple[int, int]]:
        d = self.box.dimension
        halvings = np.bincount(self.trust.axis[self.trust.axis >= 0], minlength=d)
        chosen = np.sort(np.argsort(-halvings, kind="stable")[:SHOWN])
        return list(combinations(chosen.tolist(), 2))

    def slices(self) -> Figure:
        pairs = self.pairs()
        rows = min(len(pairs), 3)
        columns = -(-len(pairs) // rows)
        single = len(pairs) == 1
        wide, tall = (4.6, 3.9) if single else (3.2, 2.7)
        figure = Figure(figsize=(2 * columns * wide + 1.2, rows * tall + 1.3), layout="constrained")
        sides: Any = figure.subfigures(1, 2, wspace=0.02, width_ratios=[1, 1.12])
        axes: list[np.ndarray] = [side.subplots(rows, columns, squeeze=False) for side in sides]
        for k, (i, j) in enumerate(pairs):
            members = self._in_slice(i, j)
            for kind in (0, 1):
                panel = axes[kind].T.flat[k]
                self._panel(panel, members, i, j, kind == 0)
        for kind in (0, 1):
            for panel in axes[kind].T.flat[len(pairs) :]:
                panel.set_visible(False)
        sides[0].suptitle("verdict", fontsize=10)
        sides[1].suptitle("proved bound of the relative error", fontsize=10)
        self._colour_bar(sides[1], list(axes[1].flat))
        self._legend(figure)
        figure.suptitle(self._title(not single), fontsize=10)
        return figure

    def _in_slice(self, i: int, j: int) -> Int[np.ndarray, " m"]:
        """Leaves that the plane along inputs i and j through the point cuts; of two that share a face, the upper."""
        others = [a for a in range(self.box.dimension) if a not in (i, j)]
        x, low, high = self.x[others], self.low[:, others], self.high[:, others]
        return np.flatnonzero(((low <= x) & ((x < high) | ((x == 1) & (high == 1)))).all(axis=1))

    def _ends(self, axis: int, unit: np.ndarray) -> np.ndarray:
        """Unit coordinates along one axis in that input's units."""
        full = np.full((len(unit), self.box.dimension), 0.5)
        full[:, axis] = unit
        return np.asarray(self.box.from_unit(full)[:, axis])

    def _panel(self, axes: Axes, members: np.ndarray, i: int, j: int, verdict: bool) -> None:
        left, right = self._ends(i, self.low[members, i]), self._ends(i, self.high[members, i])
        below, above = self._ends(j, self.low[members, j]), self._ends(j, self.high[members, j])
        corners = np.stack([left, below, right, below, right, above, left, above], axis=1).reshape(-1, 4, 2)
        few = len(members) <= EDGES
        faces = self._verdict_colours(members) if verdict else self._bound_colours(members)
        edge = ("#00000050" if verdict else "#ffffff60") if few else "face"
        axes.add_collection(
            PolyCollection(
                list(corners), facecolors=faces, edgecolors=edge, linewidths=0.25 if few else 0.1, rasterized=not few
            )
        )
        self._scale(axes, "x", i)
        self._scale(axes, "y", j)
        self._mark(axes, i, j)

    def _scale(self, axes: Axes, which: str, axis: int) -> None:
        low, high = float(self.box.lower[axis]), float(self.box.upper[axis])
        unit = self.box.units[axis]
        axes.set(**{f"{which}lim": (low, high), f"{which}label": self.box.names[axis] + (f" [{unit}]" if unit else "")})
        if not self.box.log[axis]:
            return
        axes.set(**{f"{which}scale": "log"})
        line = axes.xaxis if which == "x" else axes.yaxis
        if high / low < 1e3:  # few decades: numbers that people would write
            ticks = [m * 10.0**e for e in range(-30, 31) for m in (1, 2, 5) if low <= m * 10.0**e <= high]
            line.set_major_locator(NullLocator())
            line.set_minor_locator(NullLocator())
            line.set_ticks(ticks or [low, high], [f"{t:g}" for t in ticks] or [f"{low:.3g}", f"{high:.3g}"])
        else:
            line.set_major_locator(LogLocator(numticks=6))
        line.set_minor_formatter(NullFormatter())

    def _mark(self, axes: Axes, i: int, j: int) -> None:
        """Confirmed inputs that lie in the slice; the worst of them as a star."""
        X = self.trust.witness
        if len(X):
            others = [a for a in range(self.box.dimension) if a not in (i, j)]
            here = np.isclose(X[:, others], self.x[others], rtol=0, atol=1e-9).all(axis=1)
            P = self.box.from_unit(X)
            axes.plot(P[here, i], P[here, j], "o", ms=2.5, mfc="white", mec="black", mew=0.5, clip_on=False)
            worst = int(np.argmax(self.trust.witness_lower))
            if here[worst]:
                axes.plot(P[worst, i], P[worst, j], "*", ms=11, mfc="#f0e442", mec="black", mew=0.7, clip_on=False)
        if self.box.dimension > 2:
            p = self.box.from_unit(self.x)
            axes.axvline(p[i], color="black", lw=0.4, ls=":")
            axes.axhline(p[j], color="black", lw=0.4, ls=":")

    def _verdict_colours(self, members: np.ndarray) -> list[str]:
        return [COLOURS[v] for v in self.trust.verdicts[self.numbers[members]]]

    def _bound_colours(self, members: np.ndarray) -> Any:
        bounds = self.trust.bound[self.numbers[members]]
        shown: Any = colormaps["viridis"](self.norm(np.where(np.isfinite(bounds), bounds, self.trust.tolerance)))
        shown[~np.isfinite(bounds)] = to_rgba(UNKNOWN)
        return shown

    def _colour_bar(self, figure: Any, axes: list[Axes]) -> None:
        bar = figure.colorbar(ScalarMappable(self.norm, "viridis"), ax=axes, extend=self.extend, aspect=32, pad=0.02)
        bar.ax.axhline(self.trust.tolerance, color=COLOURS[1], lw=1.5)
        low, high = float(self.norm.vmin or 0), float(self.norm.vmax or 0)
        if high / low < 30:
            ticks = [m * 10.0**e for e in range(-30, 31) for m in (1, 2, 3, 5) if low <= m * 10.0**e <= high]
            bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
        else:
            bar.ax.yaxis.set_major_formatter(LogFormatterSciNotation())
        bar.ax.yaxis.set_minor_formatter(NullFormatter())

    def _legend(self, figure: Figure) -> None:
        handles: list[Any] = [
            Patch(facecolor=colour, edgecolor="#808080", lw=0.4, label=name)
            for name, colour in zip(VERDICTS, COLOURS, strict=True)
            if (self.trust.verdicts[self.numbers] == VERDICTS.index(name)).any()
        ]
        if self.any_unknown:
            handles.append(Patch(facecolor=UNKNOWN, label="no bound"))
        handles.append(Line2D([], [], color=COLOURS[1], lw=1.5, label="tolerance"))
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)

    def _title(self, slices: bool) -> str:
        trust = self.trust
        shares = (trust.certified_volume, trust.falsified_volume, trust.undecided_volume)
        volumes = ", ".join(f"{_percent(share)} {name}" for share, name in zip(shares, VERDICTS, strict=True))
        lines = [f"{trust.problem_name}: {volumes} at tolerance {trust.tolerance:.3g} ({trust.boxes} boxes)"]
        found = f"largest relative error in [{downward(trust.relative_lower)}, {upward(trust.relative_upper)}]"
        lines.append(found + (", the worst input found as a star" if len(trust.witness) else ""))
        if slices:
            p = self.box.from_unit(self.x)
            at = ", ".join(f"{name}={value:.4g}" for name, value in zip(self.box.names, p, strict=True))
            lines.append(f"slices through {at}")
        return "\n".join(lines)

    def bar(self) -> Figure:
        """One input: verdicts as a bar, the bound as a curve."""
        figure = Figure(figsize=(7.5, 3.6), layout="constrained")
        strip, curve = figure.subplots(2, 1, sharex=True, height_ratios=[1, 5])
        order = np.argsort(self.low[:, 0])
        left, right = self._ends(0, self.low[order, 0]), self._ends(0, self.high[order, 0])
        strip.bar(
            left, 1.0, right - left, align="edge", color=self._verdict_colours(order), edgecolor="#00000050", lw=0.25
        )
        strip.set(ylim=(0, 1), yticks=[])
        bounds = self.trust.bound[self.numbers[order]]
        edges = np.concatenate([left, right[-1:]])
        curve.stairs(np.where(np.isfinite(bounds), bounds, np.nan), edges, baseline=None, color="black", lw=1)
        curve.axhline(self.trust.tolerance, color=COLOURS[1], lw=1.2)
        if len(self.trust.witness):
            P = self.box.from_unit(self.trust.witness)[:, 0]
            curve.plot(P, self.trust.witness_lower, "o", ms=3, mfc="white", mec="black", mew=0.6)
            worst = int(np.argmax(self.trust.witness_lower))
            curve.plot(P[worst], self.trust.witness_lower[worst], "*", ms=11, mfc="#f0e442", mec="black", mew=0.7)
        curve.set(yscale="log", ylabel="proved bound of the\nrelative error")
        self._scale(curve, "x", 0)
        self._legend(figure)
        figure.suptitle(self._title(False), fontsize=10)
        return figure


def _percent(share: float) -> str:
    """Never 0 % or 100 % where it is not."""
    text = f"{100 * share:.3g}"
    if 0 < share < 1 and text in ("0", "100"):
        text = "> 99.9" if share > 0.5 else "< 0.1"
    return f"{text} %"
