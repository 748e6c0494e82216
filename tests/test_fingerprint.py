"""Programs as they are now, told apart."""

import jax.numpy as jnp
import numpy as np

from assay.verify.answers import fingerprint
from assay.verify.recheck import tape

SCALE = 1.0


def scaled(p):
    return SCALE * jnp.sin(p)


def test_a_function_whose_global_has_changed_is_another_program(monkeypatch):
    """JAX remembers what it traced by the function object, whatever the function has become since."""
    before, recorded = fingerprint.of_program(fingerprint.trace(scaled, 2)), tape.record(scaled, 2)
    monkeypatch.setitem(scaled.__globals__, "SCALE", 3.0)
    assert fingerprint.of_program(fingerprint.trace(scaled, 2)) != before
    assert str(tape.record(scaled, 2).steps) != str(recorded.steps)


def test_constants_of_a_program_are_its_own():
    weights = np.array([1.0, 2.0])
    program = fingerprint.trace(lambda p: weights * p, 2)
    weights[0] = 5.0
    assert [x.tolist() for x in program.consts] == [[1.0, 2.0]]
