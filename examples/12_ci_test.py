"""A test of a model, in your own continuous integration.

The plugin gives `assay_check` to pytest: the test fails with the simplest input at which the model does,
and the next run tries that input first.
"""

import subprocess
import sys
from pathlib import Path

Path("test_model.py").write_text("""
import assay

problem = assay.problem("thermal-block", blocks=(2, 1), cells=8)
snapshots = assay.sample(problem, 32)


def test_a_good_model(assay_check):
    assay_check(problem, assay.train(problem, "kernel-ridge", snapshots), tolerance=5e-2)


def test_a_dull_model(assay_check):
    assay_check(problem, assay.train(problem, "mean", snapshots), tolerance=5e-2)
""")
command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "test_model.py"]
said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
print(said)
assert "1 failed, 1 passed" in said
