"""Classes that changed their equations, and problems changed in place: no bound is of what they were."""

import threading

import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers import ThermalBlock, representative
from assay.solvers.problems.bratu import Bratu
from assay.solvers.problems.heat import Heat
from assay.solvers.problems.helmholtz import Helmholtz
from assay.verify.certify import certify
from assay.verify.guard import guard
from assay.verify.proofs.bratu import BratuProof
from assay.verify.proofs.prover import proof_of


class Weaker(Bratu):
    """-Lap u = lambda e^u - lambda m u: what the theorem reads of Bratu's problem says nothing of the last term."""

    def residual(self, p, u):
        return super().residual(p, u) + p[0] * self.mass * jnp.asarray(u)


class Lens(Helmholtz):
    def apply(self, theta, u):
        return super().apply(theta * jnp.array([1.0, 1.5, 1.0]), u)


class Warm(Heat):
    def step_residual(self, p, before, after):
        return super().step_residual(p, before, after) + self.mass * after


class OtherNorm(ThermalBlock):
    def norm(self, p, u):
        return jnp.sqrt(jnp.vdot(u, u))


class Renamed(Bratu):
    """Nothing that a theorem reads."""

    name = "renamed"
    colour = "red"


class Vouched(Weaker):
    proof = BratuProof


@pytest.mark.parametrize("problem", [Weaker(cells=4), Lens(cells=4, width=0.3), Warm(cells=4), OtherNorm((1, 1), 4)])
def test_a_class_that_defines_anew_what_the_theorem_reads_has_none(problem):
    assert proof_of(type(problem).__mro__[1](cells=4, **({"width": 0.3} if type(problem) is Lens else {}))).proves
    found = certify(problem, np.zeros((1, problem.size)), problem.inputs.centre[None])
    assert np.isinf(found.upper).all() and (found.lower == 0).all()
    assert f"{type(problem).__name__} defines" in " ".join(found.notes) and "anew" in " ".join(found.notes)


def test_so_has_one_object_with_a_method_of_its_own():
    problem = Bratu(cells=4)
    object.__setattr__(problem, "residual", lambda p, u: u)
    assert not proof_of(problem).proves and proof_of(Bratu(cells=4)).proves


def test_names_change_nothing_and_a_class_may_vouch_for_itself():
    assert proof_of(Renamed(cells=4)).proves and proof_of(Vouched(cells=4)).proves


def test_a_guard_refuses_a_problem_that_was_changed_in_place():
    problem, kept = ThermalBlock((1, 1), 4), ThermalBlock((1, 1), 4)
    P = problem.inputs.sample(2)
    guarded, other = (guard(x, lambda P: np.asarray(kept.attempt_batch(P).u)) for x in (problem, kept))
    before = guarded(P)
    object.__setattr__(problem, "cells", 4.0)
    with pytest.raises(ValueError, match="changed in place"):
        guarded(P)
    np.testing.assert_array_equal(other(P).u, before.u)
    object.__setattr__(problem, "cells", 4)
    np.testing.assert_array_equal(guarded(P).u, before.u)


def test_the_key_of_a_problem_and_its_copy_are_of_one_reading():
    """Another thread writes a field just when the copy is about to be made."""
    problem = Heat(cells=4, steps=2, end_time=0.75)
    lock = representative._lock
    with lock:
        asking = threading.Thread(target=lambda: representative.representative(problem))
        asking.start()
        asking.join(0.3)  # it has read the fields, and waits for the lock
        object.__setattr__(problem, "end_time", 9.0)
    asking.join()
    assert representative.representative(Heat(cells=4, steps=2, end_time=0.75)).end_time == 0.75
