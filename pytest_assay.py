"""A pytest plugin for tests of surrogates: `def test_model(assay_check): assay_check(problem, surrogate)`.

It stands beside the package, for importing any part of that imports JAX: assay is imported by the first check, and
tests without one start as fast as if the plugin were not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

PROPERTY = "assay"
NO_DATABASE = (
    "no database folder: failures that were found are not kept for the next run (assay_database in pytest's settings, "
    "or --assay-database FOLDER)"
)
SHOWN = 5  # inputs at which the truth failed


def pytest_addoption(parser: pytest.Parser) -> None:
    what = "where failures are kept, and tried first by the next run of assay_check"
    parser.getgroup("assay").addoption("--assay-database", metavar="FOLDER", default=None, help=what)
    parser.addini("assay_database", what, default="")


@pytest.fixture
def assay_check(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Callable[..., Any]:
    """``assay_check(problem, surrogate, tolerance=1e-2, budget=100, seed=0, **options)``: fails where a failure is
    found, or nothing could be compared; gives the ``Falsification`` otherwise. ``options`` are those of
    ``assay.falsify``; database= wins over the settings of pytest.
    """

    def check(
        problem: Any, surrogate: Any, tolerance: float = 1e-2, budget: int = 100, seed: int = 0, **options: Any
    ) -> Any:
        import assay

        options.setdefault("database", _database(request.config))
        result = assay.falsify(problem, surrogate, tolerance, budget, seed, **options)
        kept = "" if options["database"] else NO_DATABASE
        fails = f"; the truth fails at {len(result.unsolved)} inputs" if result.unsolved else ""
        record_property(PROPERTY, [f"{result.verdict}: {result.words}{fails}", kept])
        if result.verdict != "not falsified":
            pytest.fail("\n".join(_why(problem, result, options["database"])), pytrace=False)
        return result

    return check


def _database(config: pytest.Config) -> str | None:
    asked = config.getoption("--assay-database")
    if asked:
        return str(config.invocation_params.dir / asked)
    configured = str(config.getini("assay_database"))
    return str(config.rootpath / configured) if configured else None


def _why(problem: Any, result: Any, database: str | None) -> list[str]:
    """The failure in words, the simplest input first."""
    named = problem.inputs.named
    lines = [f"{result.verdict} at tolerance {result.tolerance:g}: {result.words}"]
    for worst in result.counterexamples[:1]:
        if worst.simplest is not None:
            lines.append(f"the simplest failing input: {named(worst.shrunk)}, error {worst.simplest.error:.4g}")
            lines.append(f"in full: {worst.shrunk.tolist()}")
        lines.append(f"the worst: {named(worst.inputs)}, error {worst.error:.4g}")
    lines += [f"the truth fails: {one.reason}" for one in result.unsolved[:SHOWN]]
    lines += [f"note: {note}" for note in result.notes]
    return [*lines, f"kept in {database}" if database else NO_DATABASE]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What every check found, or what finding nothing is worth."""
    lines, kept = [], set()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == PROPERTY and getattr(report, "when", "") == "call":
                    lines.append(f"{report.nodeid}: {value[0]}")
                    kept.add(value[1])
    if not lines:
        return
    terminalreporter.section("assay")
    for line in [*lines, *sorted(kept - {""})]:
        terminalreporter.write_line(line)
