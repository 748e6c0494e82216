"""What a command line runs against."""

import pytest

from assay.targets import find_callable, find_surrogate
from assay.terminal.errors import UserError


def test_files_are_no_surrogates_either():
    for find in (lambda word: find_surrogate(word, None, {}), lambda word: find_callable(word, None)):
        with pytest.raises(UserError, match="not its file: legacy:answer"):
            find("legacy.py:answer")
