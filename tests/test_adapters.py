"""Models of other people: one function in every framework, and what is refused with which words."""

import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import assay
from assay import cli
from assay.benchmarks.learning.same_function import (
    Network,
    as_jax,
    as_onnx,
    as_sklearn,
    as_torch,
    onnx_file,
    sklearn_estimator,
    torch_module,
)
from assay.surrogates.adapters.adapted import same

BOX = assay.Box(("a", "b"), [0.0, -1.0], [2.0, 1.0])
NODES, PARTS = 3, 2
PLAIN = assay.black_box(lambda p: np.full(6, 1.0), BOX, size=6, name="six")
PAIRS = assay.black_box(lambda p: np.full(6, 1.0), BOX, size=6, components=("u", "v"), name="pairs")
P = np.array([[0.5, 0.5], [1.0, -1.0], [2.0, 0.25], [0.1, 0.9]])
NOT_HERE = "{} is not installed: an optional package, pip install 'assay-pde[{}]'"


def network(width: int = 4, size: int = 6) -> Network:
    rng = np.random.default_rng(0)
    return Network(*(rng.standard_normal(shape) for shape in ((width, 2), (width,), (size, width), (size,))))


def exact(net: Network, P: np.ndarray) -> np.ndarray:
    return np.tanh(P @ net.W.T + net.b) @ net.V.T + net.c


def torch_here():
    return pytest.importorskip("torch", reason=NOT_HERE.format("PyTorch", "torch"))


def onnx_here():
    pytest.importorskip("onnxruntime", reason=NOT_HERE.format("ONNX Runtime", "onnx"))
    return pytest.importorskip("onnx", reason=NOT_HERE.format("onnx", "test"))


def sklearn_here():
    return pytest.importorskip("sklearn", reason=NOT_HERE.format("scikit-learn", "sklearn"))


def made(framework: str, net: Network, problem, folder):
    if framework == "torch":
        torch_here()
        return as_torch(net, problem)
    if framework == "onnx":
        onnx_here()
        return as_onnx(net, problem, folder)
    if framework == "sklearn":
        sklearn_here()
        return as_sklearn(net, problem)
    return as_jax(net, problem)


@pytest.mark.parametrize("framework", ["jax", "torch", "onnx", "sklearn"])
def test_a_function_is_the_same_in_every_framework(framework, tmp_path):
    net = network()
    surrogate = made(framework, net, PLAIN, tmp_path)
    answer = surrogate(P)
    assert answer.dtype == np.float64 and answer.shape == (4, 6)
    np.testing.assert_allclose(answer, exact(net, P), rtol=0, atol=1e-14)
    many = np.repeat(P, 300, axis=0)  # more than one chunk
    np.testing.assert_allclose(surrogate(many), np.repeat(exact(net, P), 300, axis=0), rtol=0, atol=1e-14)
    assert surrogate(P[:0]).shape == (0, 6)
    gaps = surrogate(np.vstack([P[:1], [[np.nan, 0.0]], P[1:2]]))
    assert np.isnan(gaps[1]).all() and np.allclose(gaps[[0, 2]], answer[:2], rtol=0, atol=1e-14)
    with pytest.raises(ValueError, match=re.escape("answers inputs [n, 2] (a, b), not [4, 3]")):
        surrogate(np.ones((4, 3)))


@pytest.mark.parametrize("framework", ["jax", "torch", "onnx", "sklearn"])
def test_float32_models_get_float32_and_answer_in_float64(framework, tmp_path):
    net = network()
    surrogate = made(framework, net.astype("float32"), PLAIN, tmp_path)
    answer, truth = surrogate(P), exact(net, P)
    assert answer.dtype == np.float64 and "computes in float32" in repr(surrogate)
    assert (answer.astype(np.float32) == answer).all(), "every value is a float32"
    assert 1e-9 < np.abs(answer - truth).max() < 1e-5


def test_verification_works_unchanged(small, tmp_path):
    """A surrogate that is the truth but for 3 % of a shape: found, bounded and polished, as a function of one's own."""

    def wrong(P):
        return 1.03 * np.asarray(small.solve_batch(P))

    surrogate = assay.sklearn_surrogate(Predicts(wrong), small)
    P = small.inputs.draw(3, seed=0)
    bounds = assay.certify(small, surrogate, P)
    assert (bounds.relative_lower <= 0.03).all() and (bounds.relative_upper >= 0.03).all()
    assert (bounds.relative_upper == assay.certify(small, wrong, P).relative_upper).all()
    assert assay.falsify(small, surrogate, 1e-2, 2).verdict == "falsified"
    assert assay.falsify(small, surrogate, 5e-2, 2).verdict == "not falsified"


# ---- shapes and scales -----------------------------------------------------------------------------------------------


class Predicts:
    """As an estimator does, as far as the adapter looks."""

    def __init__(self, function, **more):
        self.function = function
        self.__dict__.update(more)

    def predict(self, P):
        return self.function(P)


class Scaler:
    def transform(self, P):
        return P

    inverse_transform = transform


@pytest.mark.parametrize("shape", [(6,), (3, 2), (1, 3, 2)])
def test_fields_come_in_the_shapes_of_a_field(shape):
    field = np.arange(6.0)
    surrogate = assay.sklearn_surrogate(
        Predicts(lambda P: np.tile(field.reshape(shape), (len(P), *[1] * len(shape)))), PAIRS
    )
    assert (surrogate(P) == field).all()


def test_channels_first_are_refused_until_a_function_turns_them():
    first = Predicts(lambda P: np.tile(np.arange(6.0).reshape(2, 3), (len(P), 1, 1)))
    with pytest.raises(
        ValueError, match=r"the estimator Predicts answered 3 inputs with shape \[3, 2, 3\].*order \[3, 2\]"
    ):
        assay.sklearn_surrogate(first, PAIRS)
    surrogate = assay.sklearn_surrogate(first, PAIRS, outputs=lambda answer: np.moveaxis(answer, 1, 2))
    assert (surrogate(P) == [0, 3, 1, 4, 2, 5]).all()


def test_normalisation_is_what_the_caller_says():
    seen = []

    def function(x):
        seen.append(x)
        return np.tile(x[:, :1], (1, 6))

    scaled = assay.sklearn_surrogate(Predicts(function), PLAIN, inputs=([1.0, 0.0], [2.0, 4.0]), outputs=(10.0, 3.0))
    answer = scaled(P)
    assert (seen[-1] == (P - [1.0, 0.0]) / [2.0, 4.0]).all()
    assert (answer == (10 + 3 * (P[:, :1] - 1) / 2)).all()
    assay.sklearn_surrogate(Predicts(function), PLAIN, inputs=lambda P: P[:, ::-1])(P)
    assert (seen[-1] == P[:, ::-1]).all()
    for inputs, words in (
        ((0.0, 0.0), "the scale not zero"),
        ("log", "a function of arrays, or a pair"),
        ((1, 2, 3), "not a tuple of 3"),
        (Scaler(), r"not a Scaler: pass its \.transform"),
        ((np.zeros(5), 1.0), r"inputs= of the estimator Predicts raised ValueError: .* an array \[3, 2\] of numpy"),
    ):
        with pytest.raises(ValueError, match=words):
            assay.sklearn_surrogate(Predicts(function), PLAIN, inputs=inputs)
    with pytest.raises(ValueError, match="not a Scaler: pass its .inverse_transform"):
        assay.sklearn_surrogate(Predicts(function), PLAIN, outputs=Scaler())
    with pytest.raises(ValueError, match=r"outputs= of the estimator Predicts raised ValueError: .*\[3, 6\] of numpy"):
        assay.sklearn_surrogate(Predicts(function), PLAIN, outputs=(np.zeros(5), 1.0))


def test_named_columns_are_put_in_the_order_of_the_fit():
    fitted = Predicts(lambda rows: np.tile(np.asarray(rows)[:, :1], (1, 6)), feature_names_in_=np.array(["b", "a"]))
    assert (assay.sklearn_surrogate(fitted, PLAIN)(P) == P[:, 1:]).all()
    fitted.feature_names_in_ = np.array(["b", "c"])
    with pytest.raises(ValueError, match="was fitted to the columns b, c, and the inputs of six are a, b"):
        assay.sklearn_surrogate(fitted, PLAIN)


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (Predicts, "a fitted estimator with predict"),
        (np.sin, "a fitted estimator with predict"),
        (Predicts(None, n_features_in_=5), "was fitted to 5 inputs, and six has 2 (a, b)"),
        (Predicts(lambda P: np.ones((len(P), 5))), "answered 3 inputs with shape [3, 5], not [n, N] = [3, 6]"),
        (Predicts(lambda P: np.ones((len(P), 6), dtype=int)), "int64, not fields of real numbers: is it a classifier?"),
        (Predicts(lambda P: np.ones((len(P), 6), dtype=complex)), "complex values"),
        (
            Predicts(lambda P: (np.ones((len(P), 6)), 0.1)),
            "a tuple, not one array: let the model return the field alone",
        ),
        (Predicts(lambda P: 1 / 0), "raised ZeroDivisionError"),
    ],
)
def test_what_is_no_surrogate_is_told_in_one_sentence(estimator, words):
    with pytest.raises(ValueError, match=re.escape(words)) as told:
        assay.sklearn_surrogate(estimator, PLAIN)
    assert "\n" not in str(told.value)


def test_answers_at_random_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="differently from call to call: predict must not draw"):
        assay.sklearn_surrogate(Predicts(lambda P: rng.random((len(P), 6))), PLAIN)


def test_a_missing_package_names_its_extra(monkeypatch, tmp_path):
    for package in ("torch", "onnxruntime"):
        monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ValueError, match=re.escape("needs PyTorch: pip install 'assay-pde[torch]'")):
        assay.torch_surrogate(object(), PLAIN)
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(ValueError, match=re.escape("needs ONNX Runtime: pip install 'assay-pde[onnx]'")):
        assay.onnx_surrogate(tmp_path / "model.onnx", PLAIN)


# ---- JAX -------------------------------------------------------------------------------------------------------------


def test_functions_and_modules_in_jax():
    from flax import linen, nnx

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x, train=False):
            return linen.Dense(6, param_dtype=jnp.float64)(linen.Dropout(0.5, deterministic=not train)(x))

    module = Net()
    params = module.init(jax.random.key(0), P)
    surrogate = assay.jax_surrogate(module, PLAIN, params)
    np.testing.assert_allclose(surrogate(P), module.apply(params, P), rtol=1e-14)
    assert "float64" in repr(surrogate)
    with pytest.raises(ValueError, match="pass its params too, what module.init returned"):
        assay.jax_surrogate(module, PLAIN)

    class Drops(nnx.Module):
        def __init__(self, rngs):
            self.linear, self.drop = nnx.Linear(2, 6, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

        def __call__(self, x):
            return self.drop(self.linear(x))

    model = Drops(nnx.Rngs(0))
    surrogate = assay.jax_surrogate(model, PLAIN)
    np.testing.assert_allclose(surrogate(P), model.linear(P.astype(np.float32)), rtol=1e-6)
    assert "float32" in repr(surrogate) and not model.drop.deterministic, "the model itself is left in training"
    with pytest.raises(ValueError, match=re.escape("maps neither inputs [n, 2] nor one input [2]")):
        assay.jax_surrogate(lambda x: jnp.zeros((4, 4)), PLAIN)
    with pytest.raises(
        ValueError, match=r"TypeError: .*; and one by one: it answers 3 inputs with shape \[3, 4\], not"
    ):
        assay.jax_surrogate(lambda p: jnp.ones((4, 2)) @ p, PLAIN)
    with pytest.raises(ValueError, match="params are all that module.init returned"):
        assay.jax_surrogate(module, PLAIN, params["params"])
    with pytest.raises(ValueError, match="missing 1 required positional argument: 'key'. .* bind the rest: lambda x"):
        assay.jax_surrogate(lambda x, key: x, PLAIN)
    with pytest.raises(ValueError, match="A function in numpy needs no adapter"):
        assay.jax_surrogate(lambda x: np.tile(x, 3), PLAIN)


def test_one_input_at_a_time_and_derivatives():
    """As Equinox modules are called; JAX sees through the adapter."""
    surrogate = assay.jax_surrogate(lambda p: jnp.outer(jnp.arange(3.0), p).reshape(3, 2), PAIRS)
    expected = np.einsum("i,nj->nij", np.arange(3.0), P).reshape(4, 6)
    assert (surrogate(P) == expected).all()
    slope = jax.jacfwd(lambda p: surrogate(p[None])[0])(jnp.array(P[0]))
    assert (slope == np.einsum("i,jk->ijk", np.arange(3.0), np.eye(2)).reshape(6, 2)).all()


def test_a_function_of_one_input_that_takes_a_batch_for_one_is_called_row_by_row():
    """The mean of a batch is another one than the mean of an input: a row's answer must not depend on the others."""

    def normalised(p):
        return (p - p.mean()) @ jnp.ones((2, 6)) + p.mean()

    surrogate = assay.jax_surrogate(normalised, PLAIN)
    expected = np.repeat(P.mean(axis=1)[:, None], 6, axis=1)
    np.testing.assert_allclose(surrogate(P), expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(surrogate(P[2:]), expected[2:], rtol=0, atol=1e-15)


def test_an_equinox_module_is_put_into_inference_mode():
    equinox = pytest.importorskip("equinox", reason="Equinox is not installed: an optional package")
    layers = [equinox.nn.Linear(2, 6, key=jax.random.key(0)), equinox.nn.Dropout(0.5)]
    model = equinox.nn.Sequential(layers)
    surrogate = assay.jax_surrogate(model, PLAIN)
    np.testing.assert_allclose(surrogate(P), jax.vmap(layers[0])(P), rtol=1e-6)


def test_answers_are_the_same_up_to_rounding_of_what_is_finite():
    one = np.array([np.inf, np.nan, 1.0])
    assert same(one, one + 1e-9, "float64")
    assert not same(one, np.array([np.inf, np.nan, 2.0]), "float64")
    assert not same(one, np.array([1.0, np.nan, 1.0]), "float64") and not same(
        one, np.array([np.inf, 1.0, 1.0]), "float64"
    )


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


def test_a_module_is_evaluated_and_left_as_it_was():
    torch = torch_here()
    net = network()
    module = torch.nn.Sequential(torch_module(net), torch.nn.Dropout(0.5))
    assert module.training
    surrogate = assay.torch_surrogate(module, PLAIN)
    np.testing.assert_allclose(surrogate(P), exact(net, P), rtol=0, atol=1e-14)
    assert module.training and module[1].training and not torch.are_deterministic_algorithms_enabled()
    assert all(x.grad is None for x in module.parameters())
    again = pickle.loads(pickle.dumps(surrogate.run))
    assert (again(P).tolist() == surrogate.run(P)).all()
    assert torch.is_grad_enabled()


def test_modules_that_draw_or_answer_nothing_of_use():
    torch = torch_here()

    class Drops(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.dropout(x.repeat(1, 3), 0.5)

    with pytest.raises(ValueError, match=r"differently from call to call: .*training=self\.training"):
        assay.torch_surrogate(Drops(), PLAIN)
    with pytest.raises(ValueError, match=r"raised RuntimeError: .* handed inputs \[3, 2\] in float32 \(a, b\)"):
        assay.torch_surrogate(torch.nn.Linear(5, 6), PLAIN)
    with pytest.raises(ValueError, match="takes bfloat16"):
        assay.torch_surrogate(torch.nn.Linear(2, 6, dtype=torch.bfloat16), PLAIN)
    with pytest.raises(ValueError, match="is a pickle, which runs code"):
        assay.torch_surrogate("model.pt", PLAIN)
    with pytest.raises(ValueError, match=r"a OrderedDict: build the module, and module\.load_state_dict"):
        assay.torch_surrogate(torch.nn.Linear(2, 6).state_dict(), PLAIN)
    with pytest.raises(ValueError, match="the class Drops: build it"):
        assay.torch_surrogate(Drops, PLAIN)


# ---- the command line ------------------------------------------------------------------------------------------------


def test_a_pickle_is_never_opened(capsys, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"")
    assert cli.run(["falsify", str(path), "--problem", "thermal-block"]) == 2
    assert "is a pickle, which runs code when it is opened" in capsys.readouterr().err


def test_an_onnx_file_stands_where_a_run_does(capsys, tmp_path, monkeypatch, small):
    onnx_here()
    monkeypatch.chdir(tmp_path)
    net = Network(np.ones((2, 4)), np.zeros(2), np.zeros((small.size, 2)), np.full(small.size, 0.1))
    onnx_file(net, tmp_path / "flat.onnx")
    about = ["--problem", "thermal-block", "--set", "cells=8"]
    assert cli.run(["falsify", "flat.onnx", "--budget", "2", *about]) == 1
    assert "falsified" in capsys.readouterr().out
    assert cli.run(["certify", "flat.onnx", "--random", "1", *about]) == 3  # an absolute bound only: so far off it is
    assert "evidence: proved" in capsys.readouterr().out
    assert cli.run(["replay", "counterexamples.jsonl#0", "--surrogate", "flat.onnx"]) == 1
    assert cli.run(["falsify", "flat.onnx"]) == 2
    assert "say with --problem which problem it answers" in capsys.readouterr().err


def test_modules_and_estimators_of_ones_own_need_no_wrapper(small, monkeypatch):
    from assay.surrogates.adapters.known import adapted

    estimator = Predicts(lambda P: np.ones((len(P), 6)))
    assert (adapted(estimator, PLAIN)(P) == 1).all()
    assert adapted(exact, PLAIN) is exact
    torch = torch_here()
    assert adapted(torch.nn.Linear(2, 6), PLAIN)(P).shape == (4, 6)


def test_an_estimator_fitted_by_scikit_learn():
    sklearn_here()
    from sklearn.linear_model import LinearRegression

    with pytest.raises(ValueError, match="NotFittedError"):
        assay.sklearn_surrogate(LinearRegression(), PLAIN)
    surrogate = assay.sklearn_surrogate(LinearRegression().fit(P, P @ np.ones((2, 6))), PLAIN)
    np.testing.assert_allclose(surrogate(P), P @ np.ones((2, 6)), atol=1e-14)
    assert sklearn_estimator(network()).predict(P).shape == (4, 6)


def test_what_is_handed_over_without_its_adapter_is_told_which():
    from flax import linen

    with pytest.raises(ValueError, match=re.escape("wrap it, assay.jax_surrogate(model, problem)")):
        assay.falsify(PLAIN, linen.Dense(6), budget=1)
    surrogate = assay.jax_surrogate(lambda P: jnp.tile(P[:, :1], (1, 6)), PLAIN)
    with pytest.raises(ValueError, match="a model of other people stays in the file of its own framework"):
        assay.save(surrogate, "model.safetensors")


def test_the_name_of_a_problem_is_no_problem():
    for wrap, model in ((assay.jax_surrogate, jnp.sin), (assay.sklearn_surrogate, Predicts(np.sin))):
        with pytest.raises(ValueError, match=re.escape("a str: assay.problem('thermal-block') makes one")):
            wrap(model, "thermal-block")
    for path in (b"model", None, 5):
        with pytest.raises(ValueError, match="onnx_surrogate takes the path of an ONNX file, not a"):
            assay.onnx_surrogate(path, PLAIN)
