"""Words of a command line that name the user's own code, and what is said where they name nothing."""

import pytest

from assay.own_code import find_problem
from assay.terminal.errors import UserError


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "legacy.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "ours.py").write_text("problem = 3")
    (tmp_path / "needs.py").write_text("import absent_dependency")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("legacy.py:problem", "named by its module, not its file: legacy:problem"),
        ("legacy.py", "named by its module, not its file: legacy:NAME"),
        ("old/legacy.py:problem", "not its file: legacy:problem, in the folder old"),
        ("legcay:problem", "there is no module legcay here, nor installed; did you mean legacy:problem?"),
        ("somewhere:problem", "there is no module somewhere here, nor installed; is somewhere.py in another folder?"),
        ("needs:problem", "importing needs raised ModuleNotFoundError: No module named 'absent_dependency'"),
        ("ours:problm", "there is no 'problm' in ours; did you mean 'problem'?"),
        ("thermal-blok", "did you mean 'thermal-block'"),
    ],
)
def test_a_word_that_stands_for_no_problem_is_told_what_would(here, word, said):
    with pytest.raises((UserError, ValueError)) as error:
        find_problem(word, {})
    assert said in str(error.value) and "\n" not in str(error.value)
