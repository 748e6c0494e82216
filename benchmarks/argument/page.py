"""The page of the documentation: words from the files of the claims, numbers and pictures from what is stored."""

from __future__ import annotations

from typing import Any

from ...drawing.canvas import Figure
from ...drawing.files import own_style
from ...drawing.files import picture as picture_bytes
from . import registry
from .claim import EVIDENCE

COMMAND = "python -m assay.benchmarks.argument"
INTRODUCTION = f"""
# The argument

What people claim of neural networks in the place of PDE solvers, each claim as one simple experiment: who says it, what
is known, what was measured, and a verdict that follows by a stated rule from stored numbers alone. Some experiments and
some rules were changed after first, partial runs had been seen: nothing here was registered before measuring. *Held*
and *failed* are about the claim as it stands here, *depends* says on what. Numbers in brackets are intervals of 95 %:
Student's, over three to five seeds as a rule, as if these were independent draws of a normal law, which is no more than
a convention for so few; shares counted over independent draws have exact ones. Intervals of shares are cut at 0 and 1.
Whoever disbelieves a row runs its command, which takes minutes; `{COMMAND} --write` measures
the whole page again.
""".strip()


def page(results: dict[str, dict[str, Any]], folder: str) -> str:
    """The page in Markdown; pictures are NAME.svg in ``folder``, as a link from the page reaches it."""
    parts = [INTRODUCTION, _summary(results), _evidence()]
    for theme in registry.THEMES:
        names = [name for name, path in registry.files().items() if path.parent.name == theme and name in results]
        if names:
            parts += [f"## {registry.title(theme)}", *(_section(name, results[name], folder) for name in names)]
    return "\n\n".join(parts) + "\n"


def results() -> dict[str, dict[str, Any]]:
    """What is stored, by claim, in the order of the page."""
    return {name: found for name in registry.files() if (found := registry.stored(name)) is not None}


def picture(name: str, result: dict[str, Any], kind: str = "svg") -> bytes:
    """The picture of a claim, drawn from what is stored."""
    with own_style():
        figure = Figure(figsize=(7.2, 3.8), layout="constrained")
        registry.experiment(name).draw(result, figure)
        return picture_bytes(figure, kind)


def heading(name: str) -> str:
    return name.replace("-", " ").capitalize()


def cell(value: Any) -> str:
    """A value of a table for people: [estimate, low, high] is a number with its interval."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        words = [cell(v) for v in value]
        return f"{words[0]} [{words[1]}, {words[2]}]" if len(words) == 3 else ", ".join(words)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def unbarred(text: str) -> str:
    """For a cell of a table, which a bar would end."""
    return text.replace("|", "\\|")


def markdown_table(rows: list[dict[str, Any]]) -> str:
    """Rows of equal keys; numbers stand to the right."""
    lines = ["| " + " | ".join(rows[0]) + " |"]
    lines.append("|" + "|".join("---" if isinstance(v, str) else "---:" for v in rows[0].values()) + "|")
    lines += ["| " + " | ".join(unbarred(cell(v)) for v in row.values()) + " |" for row in rows]
    return "\n".join(lines)


def _summary(results: dict[str, dict[str, Any]]) -> str:
    lines = ["| claim | verdict | in one line | minutes |", "|---|---|---|---:|"]
    for name, found in results.items():
        minutes = f"{found['processor seconds'] / 60:.1f}"
        claim = registry.words(name).claim
        lines.append(f"| [{claim}](#{name}) | **{found['verdict']}** | {unbarred(found['sentence'])} | {minutes} |")
    return "\n".join(lines)


def _evidence() -> str:
    kinds = "; ".join(f"*{kind}*: {meaning}" for kind, meaning in EVIDENCE.items())
    return f"Minutes are of one core. The last column of each table says what kind of knowledge a row is: {kinds}."


def _section(name: str, found: dict[str, Any], folder: str) -> str:
    words = registry.words(name)
    about = [("Claim", f"*{words.claim}* Said {words.said}.")]
    about += [("What is known", words.theorem)] if words.theorem else []
    about += [("Experiment", words.experiment), ("Limits", words.limits), ("Rule", words.rule)]
    made = ", ".join(f"{what} {version}" for what, version in found["versions"].items())
    return "\n\n".join([
        f"### {heading(name)}",
        *(f"**{what}.** {text}" for what, text in about),
        markdown_table(found["rows"]),
        f"![{heading(name)}]({folder}/{name}.svg)",
        f"**Verdict: {found['verdict']}.** {found['sentence']}",
        f"`{COMMAND} {name}`: {found['processor seconds'] / 60:.1f} minutes of one core, seeds 0 to "
        f"{found['seeds'] - 1}; {made}.",
    ])  # fmt: skip
