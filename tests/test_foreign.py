"""Foreign code that changes settings and leaves them so: they are put back, and no bound is below an error."""

import ctypes
import platform
import threading

import jax
import numpy as np
import pytest

from assay.benchmarks.soundness.faulty import PodGalerkin, Quadratic
from assay.solvers import Box, ThermalBlock, black_box, sample
from assay.solvers.foreign import SettingsChanged, call_foreign
from assay.solvers.precision import float64, in_float64, require_float64, rounds_to_nearest
from assay.verify import certify as certify_module
from assay.verify.answers.frozen import Frozen
from assay.verify.audit import audit
from assay.verify.certify import certify
from assay.verify.certify_box import certify_box
from assay.verify.falsify import falsify
from assay.verify.guard import guard
from assay.verify.search.counterexample import replay

LIBM = ctypes.CDLL(None)
TINY = np.finfo(np.float64).tiny


ENTERED = []  # a context that is collected is left


def _enter(context):
    ENTERED.append(context)
    context.__enter__()


def _flush():
    environment = ctypes.create_string_buffer(256)
    LIBM.fegetenv(environment)
    at = 28  # of MXCSR in fenv_t, x86-64
    word = int.from_bytes(environment.raw[at : at + 4], "little") | 0x8040
    LIBM.fesetenv(environment.raw[:at] + word.to_bytes(4, "little") + environment.raw[at + 4 :])


ATTACKS = {
    "jax_enable_x64": lambda: jax.config.update("jax_enable_x64", False),
    "jax_enable_x64 in its thread": lambda: _enter(jax.enable_x64(False)),
    "jax_disable_jit": lambda: jax.config.update("jax_disable_jit", True),
    "jax_disable_jit in its thread": lambda: _enter(jax.disable_jit()),
    "jax_debug_nans": lambda: jax.config.update("jax_debug_nans", True),
    "jax_numpy_dtype_promotion": lambda: jax.config.update("jax_numpy_dtype_promotion", "strict"),
    "jax_default_matmul_precision": lambda: jax.config.update("jax_default_matmul_precision", "bfloat16"),
    "numpy's handling of floating-point errors": lambda: np.seterr(all="raise"),
    "how this thread rounds": lambda: LIBM.fesetround(0x800),
    "numbers below 2^-1022": _flush,
}
WORST = [name for name in ATTACKS if "x64" in name or "rounds" in name]
if platform.machine() != "x86_64":
    del ATTACKS["how this thread rounds"], ATTACKS["numbers below 2^-1022"]
    WORST = WORST[:2]


def state():
    names = ("jax_enable_x64", "jax_disable_jit", "jax_debug_nans", "jax_numpy_dtype_promotion")
    settings = [getattr(jax.config, name) for name in (*names, "jax_default_matmul_precision")]
    return [*settings, np.geterr(), rounds_to_nearest(), np.float64(TINY) / 2 > 0]


class Hostile:
    """An honest surrogate, but for what it does besides."""

    def __init__(self, honest, attack):
        self.honest, self.basis, self.attack = honest, honest.basis, attack

    def coefficients(self, P):
        c = self.honest.coefficients(P)
        self.attack()
        return c

    def __call__(self, P):
        u = self.honest(P)
        self.attack()
        return u


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_call_changes_is_put_back_and_said(attack):
    before, said = state(), {}

    def foreign(x):
        ATTACKS[attack]()
        return x + 1

    assert call_foreign(foreign, 1, whose="the surrogate", said=said) == 2
    assert state() == before
    (sentence,) = said
    assert sentence.startswith("the surrogate changed ") and attack in sentence
    with pytest.warns(RuntimeWarning, match="the solver changed"):
        call_foreign(foreign, 1, whose="the solver")
    assert state() == before


def test_a_call_that_raises_is_put_back_as_well():
    before, said = state(), {}

    def foreign():
        for attack in ATTACKS.values():
            attack()
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        call_foreign(foreign, whose="the surrogate", said=said)
    assert state() == before and len(said) == 1
    assert call_foreign(lambda: 3, whose="the surrogate", said=said) == 3 and len(said) == 1


@pytest.fixture(scope="module")
def near(small, true_error):
    """Inputs, truths, and fields off by about 1e-9: single precision cannot tell."""
    P = small.inputs.sample(32, seed=5)
    U, norms = true_error.truths(P)
    noise = np.random.default_rng(0).standard_normal(U.shape) * small.free
    return P, U, norms, U + 1e-9 * np.abs(U).max(axis=1, keepdims=True) * noise


@pytest.mark.parametrize("attack", WORST)
def test_no_bound_is_below_the_error(small, true_error, near, attack):
    P, U, norms, fields = near

    def surrogate(Q):
        ATTACKS[attack]()
        return fields[: len(Q)]

    before = state()
    certificate = certify(small, surrogate, P)
    error = true_error(P, U, norms, fields)
    assert np.isfinite(certificate.upper).all() and state() == before
    assert (certificate.lower <= error.high).all() and (error.low <= certificate.upper).all()
    assert any("the surrogate changed" in note for note in certificate.notes)
    honest = certify(small, fields, P)
    assert (certificate.upper == honest.upper).all() and (certificate.lower == honest.lower).all()


@pytest.mark.parametrize("attack", WORST)
@pytest.mark.parametrize("reduced", [True, False])
def test_no_wrong_answer_gets_out(small, true_error, near, small_pool, attack, reduced):
    P, U, norms, _ = near
    hostile = Hostile(PodGalerkin(small, 16, pool=small_pool), ATTACKS[attack])
    before = state()
    guarded = guard(small, hostile if reduced else lambda Q: hostile(Q), 1e-4)
    assert (guarded.reduced is not None) == reduced and state() == before
    answer = guarded(P)
    assert state() == before
    error = true_error(P, U, norms, answer.u)
    assert (error.low / norms.high <= answer.relative_upper).all()
    assert (error.low / norms.high <= 1e-4).all()
    assert any("the surrogate changed" in note for note in answer.notes)


def test_every_verb_goes_on_in_float64(tmp_path):
    """And says what it met; what is hostile is traced, too."""
    problem, path = ThermalBlock((2, 1), 8, low=10**-0.5, high=10**0.5), tmp_path / "map.json"
    before, honest = state(), Quadratic(problem)
    hostile = Hostile(honest, ATTACKS["jax_enable_x64 in its thread"])
    found = falsify(problem, hostile, 1e-3, budget=4, starts=16)
    assert state() == before and found.verdict == "falsified"
    assert any("the surrogate changed" in note for note in found.notes)
    assert replay(problem, found.counterexamples[0], hostile).fails and state() == before
    trust = certify_box(problem, hostile, 0.5, seconds=1, order=2, budget=1, checkpoint=path)
    assert trust.model_hash == Frozen(honest, 2).hash and state() == before
    assert any("the surrogate changed" in note for note in trust.notes)
    audit(path, problem, hostile, sample=1)
    assert state() == before


def test_a_thread_that_switches_it_off_for_good_is_refused(small, near, monkeypatch):
    P, _, _, fields = near
    stop, started = threading.Event(), threading.Event()
    finish = certify_module.certificate_of

    def late(*args):
        """The end of certify, when the thread has had its turn again."""
        started.clear()
        started.wait()
        return finish(*args)

    monkeypatch.setattr(certify_module, "certificate_of", late)

    def work():
        while not stop.is_set():
            jax.config.update("jax_enable_x64", False)
            started.set()

    def surrogate(Q):
        if not started.is_set():
            threading.Thread(target=work, daemon=True).start()
            started.wait()
        return fields[: len(Q)]

    try:
        with pytest.raises(RuntimeError, match="64-bit|jax_enable_x64"):
            certify(small, surrogate, P)
    finally:
        stop.set()
        while any(t.daemon and t.name.endswith("(work)") for t in threading.enumerate()):
            pass
        jax.config.update("jax_enable_x64", True)
    assert issubclass(SettingsChanged, RuntimeError)


def test_a_function_is_refused_when_the_process_ends_in_single_precision():
    def work():
        jax.config.update("jax_enable_x64", False)
        return np.asarray(jax.numpy.ones(1)).dtype

    try:
        with pytest.raises(RuntimeError, match="64-bit mode is off"):
            in_float64(work)()
    finally:
        jax.config.update("jax_enable_x64", True)
    require_float64()


def test_products_have_all_their_digits_whatever_algorithm_the_process_asks_for():
    x = np.outer([1, 2, 3], [1, 2, 3]) / 3.0
    jax.config.update("jax_default_matmul_precision", "F32_F32_F32")
    try:
        assert abs(np.asarray(jax.numpy.asarray(x) @ x) - x @ x).max() > 1e-9  # float64 is rounded first, in JAX
        with float64():
            assert abs(np.asarray(jax.numpy.asarray(x) @ x) - x @ x).max() < 1e-14
        jax.config.update("jax_default_matmul_precision", "highest")
        with float64():
            assert jax.config.jax_default_matmul_precision == "highest"
    finally:
        jax.config.update("jax_default_matmul_precision", None)


def test_a_solver_that_changes_settings_solves_as_before():
    box = Box(("a",), [1.0], [2.0])
    problem = black_box(lambda p: p * np.arange(1.0, 4.0), box)
    truth = sample(problem, 4).fields
    for attack in ATTACKS.values():

        def solver(p, attack=attack):
            attack()
            return p * np.arange(1.0, 4.0)

        before = state()
        with pytest.warns(RuntimeWarning, match="the solver changed"):
            assert (sample(black_box(solver, box), 4).fields == truth).all()
        assert state() == before
