"""What a command line runs against."""

import pytest

from assay.commands.errors import UserError
from assay.targets import find_callable, find_surrogate


def test_files_are_no_surrogates_either():
    for find in (lambda word: find_surrogate(word, None, {}), lambda word: find_callable(word, None)):
        with pytest.raises(UserError, match="not its file: legacy:answer"):
            find("legacy.py:answer")
