"""Pages that are made of what stands elsewhere: examples with what they print, verbs, public names, theorems, scripts.

Nothing is written twice, so that nothing goes stale: the command line's page is the help of the verbs, the API's the
docstrings, and an example's what ``examples/run.py`` kept of its last run.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))

from run import KEPT, Example, examples  # noqa: E402

from assay.benchmarks.argument import page as argument  # noqa: E402

os.environ["COLUMNS"] = "100"  # of help texts
THEOREMS = {
    "The one door": ["verify.proofs.prover", "verify.proofs.proof"],
    "Symmetric coercive problems": [
        "verify.proofs.coercive", "verify.proofs.thomson", "verify.proofs.reduced", "verify.proofs.primal_dual",
        "verify.proofs.coefficients",
    ],
    "Flow": ["verify.proofs.cavity", "solvers.problems.cavity"],
    "Problems without symmetry": ["verify.proofs.helmholtz", "verify.proofs.sines", "verify.proofs.indefinite"],
    "Nonlinear problems": [
        "verify.proofs.bratu", "verify.proofs.supersolution", "verify.proofs.hyperelastic", "verify.proofs.radius",
    ],
    "Problems in time": ["verify.proofs.heat", "verify.proofs.heat_reduced", "verify.proofs.burgers",
                         "verify.proofs.stepping"],
    "Boxes": ["verify.boxes.branch_and_bound", "verify.boxes.box_proof", "verify.enclose"],
    "Draws": [
        "verify.statistics.two_phase", "verify.statistics.subset_simulation", "verify.statistics.independent",
        "verify.statistics.thresholds", "verify.statistics.conformal", "verify.statistics.calibrate",
    ],
    "Search": ["verify.search.methods.standard_v1", "verify.search.peaks", "verify.search.shrinking"],
}  # fmt: skip


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made, and the pictures of examples."""
    pages = {
        "index.md": _front(),
        "command-line.md": _verbs(),
        "api.md": _names(),
        "theory.md": _theory(),
        "benchmarks.md": _elsewhere("benchmarks/README.md"),
        "changes.md": _elsewhere("CHANGELOG.md"),
        "examples/index.md": _examples(),
    }
    for example in examples():
        pages[f"examples/{example.name}.md"] = _example(example)
        for picture in example.pictures():
            files.append(File.generated(config, f"examples/{picture.name}", abs_src_path=str(picture)))
    results = argument.results()
    pages["argument.md"] = argument.page(results, "argument")
    for name, found in results.items():
        files.append(File.generated(config, f"argument/{name}.svg", content=argument.picture(name, found)))
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    return files


def _examples() -> str:
    rows = [f"| [{e.title}]({e.name}.md) | {e.first_sentence} | {e.seconds():.0f} |" for e in examples()]
    return "\n".join([
        "# Examples", "",
        "Scripts of a page in the folder `examples/`, each run, with the number that it is held to, in every build of "
        "these pages.", "",
        "| example | shows | seconds |", "|---|---|---:|", *rows, "",
    ])  # fmt: skip


def _example(example: Example) -> str:
    parts = [f"# {example.title}", example.about, f"```python\n{example.code}\n```"]
    parts.append(f"It prints\n\n```text\n{example.printed()}\n```")
    parts += [f"![{picture.stem.replace('-', ' ')}]({picture.name})" for picture in example.pictures()]
    return (
        "\n\n".join([*parts, f"Run it: `python examples/{example.path.name}`. Took {example.seconds():.0f} s."]) + "\n"
    )


def _verbs() -> str:
    from typer.testing import CliRunner

    from assay.cli import app
    from assay.commands.verbs import WHERE

    def told(*words: str) -> str:
        return str(CliRunner().invoke(app, [*words, "--help"], prog_name="assay").output).strip()

    parts = ["# Command line", f"```text\n{told()}\n```"]
    parts += [f"## {verb}\n\n```text\n{told(verb)}\n```" for verb in WHERE]
    return "\n\n".join(parts) + "\n"


def _names() -> str:
    """The public names, as the package's stub lists them, by the room that they come from."""
    stub = ast.parse((ROOT / "assay" / "__init__.pyi").read_text(encoding="utf-8"))
    rooms = {"solvers": "Problems and their truth", "surrogates": "Surrogates", "verify": "Verification"}
    found: dict[str, list[str]] = {title: [] for title in (*rooms.values(), "More")}
    for node in stub.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            title = rooms.get(node.module.split(".")[0], "More")
            found[title] += [_defined(node.module, alias.name) for alias in node.names]
    parts = ["# API", "Every public name of `assay`. Importing one imports what it needs, and JAX in float64."]
    for title, names in found.items():
        if names:
            parts += [f"## {title}", *(f"::: {name}" for name in names)]
    return "\n\n".join(parts) + "\n"


def _defined(module: str, name: str) -> str:
    """Where a name is defined: a package may pass it on."""
    path = ROOT.joinpath(*module.split("."))
    path = path if path.is_dir() else ROOT / "assay" / module.replace(".", "/")
    if (path / "__init__.py").exists():
        for node in ast.walk(ast.parse((path / "__init__.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
                return _defined(f"{module}.{node.module}", name)
        if (stub := path / "__init__.pyi").exists():
            for node in ast.walk(ast.parse(stub.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
                    return _defined(f"{module}.{node.module}", name)
    return f"assay.{module}.{name}"


def _theory() -> str:
    parts = [
        "# Theory",
        "What stands at the top of the file of each theorem: equation, hypotheses, proof or reference, and what is "
        "charged for rounding.",
    ]
    for title, modules in THEOREMS.items():
        parts.append(f"## {title}")
        for module in modules:
            path = ROOT.joinpath(*module.split("."))
            path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            parts.append(f"### {module.split('.')[-1].replace('_', ' ')}\n\n`assay.{module}`\n\n{_as_markdown(doc)}")
    return "\n\n".join(parts) + "\n"


def _as_markdown(doc: str) -> str:
    """A docstring: ``code`` is `code`."""
    return re.sub(r"``([^`]+)``", r"`\1`", doc)


def _front() -> str:
    """The README, with links to what is made of the files that it names."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")
    for file, page in {
        "examples/": "examples/index.md",
        "benchmarks/README.md": "benchmarks.md",
        "CHANGELOG.md": "changes.md",
    }.items():
        text = text.replace(f"]({file})", f"]({page})")
    return text.replace("[CONTRIBUTING.md](CONTRIBUTING.md)", "`CONTRIBUTING.md`")


def _elsewhere(name: str) -> str:
    """A document of the repository; links that lead out of the site are left as text."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]+\)", r"\1", text)


ELSEWHERE = {
    "../benchmarks/README.md": "benchmarks.md",
    "../assay/__init__.pyi": "api.md",
    "../examples/01_first_steps.py": "examples/first-steps.md",
}  # what a page links to where the repository is read, and the page that is made of it


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links of pages lead somewhere in a clone, and on the site to what is made of that."""
    for file, page in ELSEWHERE.items():
        markdown = markdown.replace(f"]({file})", f"]({page})")
    return markdown


def on_pre_build(config: Any) -> None:
    """Examples that were not run, or whose code has changed since, are no pages."""
    stale = [example.path.name for example in examples() if not example.is_fresh()]
    if stale:
        raise SystemExit(f"not run as they are: {', '.join(stale)}: `python examples/run.py` runs them ({KEPT})")
