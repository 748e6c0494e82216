"""The door to the proofs: every line of its table leads somewhere, the nearest class counts."""

from importlib import import_module

import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers import Box, ThermalBlock, black_box
from assay.solvers.problem import Problem
from assay.solvers.problems.catalogue import PROBLEMS, problem
from assay.verify.certify import certify
from assay.verify.evidence import Evidence
from assay.verify.falsify import falsify
from assay.verify.guard import guard
from assay.verify.proofs.bounds import ErrorBounds
from assay.verify.proofs.cell_diffusion import CellDiffusionProof
from assay.verify.proofs.coercive import CoerciveProof
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


def toy(**bounds):
    """A problem with a proof of somebody's own that answers with these bounds, one row each; others are good."""
    n = len(next(iter(bounds.values())))
    good = {"lower": 0.0, "upper": 1.0, "relative_lower": 0.0, "relative_upper": 1.0, "floor": 0.0}
    good |= {"square_lower": 0.0, "square_upper": 4.0}
    found = ErrorBounds(*(np.asarray(bounds.get(name, np.full(n, good[name]))) for name in ErrorBounds._fields))

    class Mine(CoerciveProof):
        def bounds(self, P, U, effort):
            return U, found, np.zeros(len(U))

    class Own(ThermalBlock):
        proof = Mine

    problem = Own((1, 1), 4)
    return certify(problem, np.zeros((n, problem.size)), np.ones((n, 1)))


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"lower": [0.0, 2.0]}, "Mine.bounds contradicts itself in row 1: lower 2 is above upper 1"),
        ({"upper": [-1.0]}, "lower 0 is above upper -1"),
        ({"lower": [-1.0, 0.0]}, "Mine.bounds gave a negative lower in row 0, -1"),
        ({"upper": [[1.0, 1.0]]}, r"gave upper of shape \[1, 2\] and type float64, not numbers of \[1\]"),
        ({"upper": [1.0 + 1j]}, "type complex128"),
        ({"square_upper": [-1.0]}, "square_lower 0 is above square_upper -1"),
    ],
)
def test_a_proof_of_somebodys_own_that_answers_nonsense_is_refused(bounds, said):
    with pytest.raises(ValueError, match=said):
        toy(**bounds)


def test_nan_of_a_proof_of_somebodys_own_proves_nothing():
    found = toy(upper=[np.nan, 1.0])
    assert np.isinf(found.upper[0]) and np.isinf(found.relative_upper[0]) and found.upper[1] == 1
    assert found.lower[0] == 0 and np.isinf(found.square_upper[0])


@pytest.mark.parametrize("what", [None, "CoerciveProof", lambda problem: None, CoerciveProof(ThermalBlock((1, 1), 4))])
def test_what_is_no_theorem_is_refused_with_words(what):
    kind = type("Mine", (ThermalBlock,), {"proof": what})
    with pytest.raises(ValueError, match=r"Mine.proof names the theorem.*NoProof where nothing is proved, not"):
        proof_of(kind((1, 1), 4))


class Weighted(ThermalBlock):
    """Of somebody's own: the load's factor lies in an array."""

    def factor(self):
        if "_factor" not in vars(self):
            object.__setattr__(self, "_factor", np.ones(1))
        return self._factor

    def load(self, p):
        return jnp.asarray(self._load * self.factor())

    def load_terms(self):
        return None


def test_a_problem_of_somebodys_own_that_changed_since_is_refused_by_every_verb():
    problem = Weighted((1, 1), 4)
    fields, P = np.zeros((1, problem.size)), np.ones((1, 1))
    assert np.isfinite(certify(problem, fields, P).upper).all() and np.isfinite(certify(problem, fields, P).upper).all()
    problem.factor()[:] = 2.0
    for verb in (
        lambda: certify(problem, fields, P),
        lambda: guard(problem, lambda P: np.zeros((len(P), problem.size))),
        lambda: falsify(problem, lambda P: np.zeros((len(P), problem.size)), budget=1),
    ):
        with pytest.raises(ValueError, match="changed in place since its proof read it"):
            verb()
