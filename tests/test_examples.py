"""The examples: pages of a title, a reason, code and a number it is held to; ``make docs`` runs them, all of them."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))

import run  # noqa: E402


def test_there_are_many_and_each_is_a_page():
    found = run.examples()
    assert len({example.name for example in found}) == len(found) >= 10
    for example in found:
        lines = example.path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 60, example.path
        assert len(example.title) < 80 and example.about and example.code
        assert isinstance(ast.parse(example.code).body[-1], ast.Assert), f"{example.path} is held to no number"


@pytest.fixture
def example(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(run, "ROOMS", ())
    path = tmp_path / "01_one_line.py"
    path.write_text('"""Title.\n\nAbout it. More.\n"""\n\nprint("said")\nopen("a.png", "w").close()\nassert True\n')
    return run.Example(path)


def test_what_it_prints_and_draws_is_kept_until_it_changes(example):
    assert not example.is_fresh()
    example.run()
    assert example.is_fresh() and example.printed() == "said" and example.seconds() > 0
    assert [picture.name for picture in example.pictures()] == ["one-line-a.png"]
    assert (example.name, example.title, example.first_sentence) == ("one-line", "Title", "About it")
    example.path.write_text(example.path.read_text() + "assert 1\n")
    assert not run.Example(example.path).is_fresh()


def test_one_that_fails_is_kept_by_nobody_and_told(example):
    example.path.write_text('"""Title.\n\nAbout.\n"""\nprint("before")\nassert 1 == 2\n')
    with pytest.raises(RuntimeError, match=r"(?s)ended with 1.*before.*AssertionError"):
        example.run()
    assert not example.is_fresh()
