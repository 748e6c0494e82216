"""The door to the proofs: every line of its table leads somewhere, the nearest class counts."""

from importlib import import_module

import numpy as np
import pytest

from assay.solvers import Box, ThermalBlock, black_box
from assay.solvers.problem import Problem
from assay.solvers.problems.catalogue import PROBLEMS, problem
from assay.verify.evidence import Evidence
from assay.verify.proofs.cell_diffusion import CellDiffusionProof
from assay.verify.proofs.proof import NoProof, Proof
from assay.verify.proofs.prover import PROOFS, proof_of


@pytest.mark.parametrize(("place", "theorem"), PROOFS.items())
def test_every_line_of_the_table_names_a_class_of_problems_and_a_theorem(place, theorem):
    (module, name), (file, proof) = place.split(":"), theorem.split(":")
    assert issubclass(getattr(import_module(f"assay.solvers.{module}"), name), Problem)
    assert issubclass(getattr(import_module(f"assay.verify.proofs.{file}"), proof), Proof)


def test_every_problem_has_a_theorem_or_says_what_to_do_instead():
    proved = {name for name in PROBLEMS if proof_of(problem(name)).proves}
    assert proved == {
        "thermal-block",
        "lognormal-diffusion",
        "elasticity",
        "helmholtz",
        "bratu",
        "heat",
        "burgers",
        "hyperelastic",
        "cavity",
        "advection-diffusion",
    }
    none = proof_of(black_box(lambda p: p, Box(("a",), np.zeros(1), np.ones(1))))
    assert isinstance(none, NoProof) and none.evidence is Evidence.NONE
    assert "falsify" in none.remarks(np.zeros((1, 1)), np.zeros((1, 1)), None, np.ones(1, dtype=bool))[0]


def test_the_nearest_class_counts_and_a_class_may_name_its_own():
    class Own(NoProof):
        pass

    class Mine(ThermalBlock):
        proof = Own

    class Child(Mine):
        pass

    class Other(ThermalBlock):
        pass

    for kind, theorem in ((ThermalBlock, CellDiffusionProof), (Other, CellDiffusionProof), (Mine, Own), (Child, Own)):
        assert type(proof_of(kind((1, 1), 4))) is theorem
