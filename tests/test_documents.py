"""What documents and docstrings tell readers to run exists: modules, scripts, verbs with their flags, targets."""

import re
from pathlib import Path

import pytest
import typer

from assay import cli

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile", "benchmarks/README.md", ".ci/run")),
    *sorted((ROOT / "docs").glob("*.md")),
]
SOURCES = sorted(path for room in ("assay", "solvers", "surrogates", "verify", "benchmarks", "tests")
                 for path in (ROOT / room).rglob("*.py"))  # fmt: skip
MODULE = re.compile(r"""-m["',\s]+(assay[\w.]*)""")
# Words that follow "assay" in a line of code, or between backticks; a comment ends them.
COMMAND = re.compile(
    r"(?:^(?: {4,}|\t)|`)(?:\$\(BIN\)/|\.venv/bin/)?assay ([a-z]+)((?:[^\S\n][^`\n#]*)?)", re.MULTILINE
)


def module_file(name: str) -> Path:
    """The file that `python -m NAME` runs."""
    parts = name.split(".")[1:]
    if not parts:
        return ROOT / "assay" / "__main__.py"
    place = ROOT if (ROOT / parts[0]).is_dir() else ROOT / "assay"
    path = place.joinpath(*parts)
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def scripts() -> set[str]:
    """The modules of benchmarks/ that are mains, but for those that another interpreter runs."""
    mains = [path for path in (ROOT / "benchmarks").rglob("*.py") if '__name__ == "__main__"' in path.read_text()]
    names = {".".join(("assay", *path.relative_to(ROOT).with_suffix("").parts)) for path in mains}
    names = {name.removesuffix(".__main__") for name in names}
    return {name for name in names if not name.endswith("_worker")}


def test_every_module_that_is_to_be_run_is_one():
    for path in (*DOCUMENTS, *SOURCES):
        check_modules(path)


def check_modules(path):
    for name in MODULE.findall(path.read_text(encoding="utf-8")):
        file = module_file(name.rstrip("."))
        assert file.is_file(), f"{path}: python -m {name}"
        assert file.name == "__main__.py" or '__name__ == "__main__"' in file.read_text(), (
            f"{path}: {name} is no script"
        )


def test_every_benchmark_has_one_row():
    text = (ROOT / "benchmarks" / "README.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and "python -m" in line]
    named = [name for row in rows for name in MODULE.findall(row)]
    assert sorted(named) == sorted(scripts())
    assert all(len(row.split(" | ")) == 4 for row in rows)


def test_commands_and_their_flags_exist():
    group = typer.main.get_command(cli.app)
    commands = {verb: group.get_command(None, verb) for verb in group.commands}
    flags = {
        verb: {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)}
        for verb, command in commands.items()
    }
    named = [
        (path, *found) for path in (*DOCUMENTS, *SOURCES) for found in COMMAND.findall(path.read_text(encoding="utf-8"))
    ]
    assert len(named) > 20
    for path, verb, rest in named:
        assert verb in commands, f"{path}: assay {verb}"
        assert set(re.findall(r"(?<=\s)--[a-z-]+", rest)) <= flags[verb], f"{path}: assay {verb}{rest}"


def test_targets_that_documents_name_are_in_the_makefile():
    targets = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in DOCUMENTS:
        named = re.findall(r"(?:^ {4,}|`|^)make (\w[\w./-]*)", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(named) <= targets, path.name


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("    assay train x --set low=1  # --no-flag", [("train", " x --set low=1  ")]),
        ("run `assay bench --truth` twice", [("bench", " --truth")]),
        ("what assay does", []),
        ("    .venv/bin/assay demo\n", [("demo", "")]),
    ],
)
def test_the_reader_of_commands(text, found):
    assert COMMAND.findall(text) == found


def test_links_of_documents_lead_somewhere():
    """In a clone; the site's builder, which is strict, checks its own."""
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")) if path.suffix == ".md" else ():
            if not target.startswith(("http:", "https:", "#")):
                assert (path.parent / target.split("#")[0]).exists(), f"{path}: {target}"
