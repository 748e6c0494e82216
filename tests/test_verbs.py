"""The list of verbs: shown and completed without importing any, each there when it is called."""

import pytest

from assay import cli
from assay.commands.verbs import WHERE


def completed(monkeypatch, capsys, words):
    monkeypatch.setenv("_ASSAY_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"assay {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" "))))
    with pytest.raises(SystemExit) as ended:
        cli.run([])
    assert ended.value.code == 0
    return capsys.readouterr().out.split()


def test_the_shell_is_told_what_may_come_next(monkeypatch, capsys):
    assert completed(monkeypatch, capsys, "pr") == ["problems", "prepare", "probability", "precision"]
    assert completed(monkeypatch, capsys, "cache --cl") == ["--clear"]


def test_without_a_verb_all_are_listed(capsys):
    assert cli.run([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    listed = [line.split()[0] for line in said.err.split("Commands:\n")[1].splitlines()]
    assert listed == list(WHERE)


def test_a_misspelt_verb_is_answered_by_what_is_near(capsys):
    assert cli.run(["tarin"]) == 2
    assert "Did you mean 'train'?" in capsys.readouterr().err
