"""ONNX files: how many rows they take, whether they are still the same, and what is refused with which words."""

import pickle

import numpy as np
import pytest
from test_adapters import PLAIN, P, exact, network, onnx_here

import assay
from assay.benchmarks.learning.same_function import onnx_file


def test_a_file_that_takes_so_many_rows_at_once(tmp_path):
    onnx_here()
    net = network()
    surrogate = assay.onnx_surrogate(onnx_file(net, tmp_path / "three.onnx", rows=3), PLAIN)
    np.testing.assert_allclose(surrogate(P), exact(net, P), rtol=0, atol=1e-14)


def test_a_file_opened_again_is_the_same_or_refused(tmp_path):
    onnx_here()
    path = onnx_file(network(), tmp_path / "net.onnx")
    surrogate = assay.onnx_surrogate(path, PLAIN)
    kept = pickle.dumps(surrogate.run)
    assert (pickle.loads(kept)(P) == surrogate(P)).all()
    onnx_file(network(5), path)
    with pytest.raises(ValueError, match="was changed since it was opened"):
        pickle.loads(kept)


def test_weights_beside_a_file_belong_to_it(tmp_path):
    """PyTorch's exporter leaves the weights in another file: the one that is opened stays the same with new weights."""
    onnx = onnx_here()

    def write(seed):
        model = onnx.load(str(onnx_file(network(), tmp_path / "net.onnx")))
        for tensor in model.graph.initializer:
            values = np.random.default_rng(seed).random(onnx.numpy_helper.to_array(tensor).shape)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        (tmp_path / "net.data").unlink(missing_ok=True)
        beside = {"save_as_external_data": True, "location": "net.data", "size_threshold": 0}
        onnx.save_model(model, str(tmp_path / "net.onnx"), **beside)
        return (tmp_path / "net.onnx").read_bytes()

    first = write(0)
    surrogate = assay.onnx_surrogate(tmp_path / "net.onnx", PLAIN)
    kept, answer = pickle.dumps(surrogate.run), surrogate(P)
    assert (pickle.loads(kept)(P) == answer).all()
    assert write(1) == first
    with pytest.raises(ValueError, match="was changed since it was opened"):
        pickle.loads(kept)
    (tmp_path / "net.data").unlink()
    with pytest.raises(ValueError, match="keeps its weights in another file, which must lie beside it"):
        assay.onnx_surrogate(tmp_path / "net.onnx", PLAIN)


def test_of_weights_in_many_files_each_belongs_to_it(tmp_path):
    onnx = onnx_here()
    model = onnx.load(str(onnx_file(network(), tmp_path / "net.onnx")))
    apart = {"save_as_external_data": True, "all_tensors_to_one_file": False, "size_threshold": 0}
    onnx.save_model(model, str(tmp_path / "net.onnx"), **apart)
    kept = pickle.dumps(assay.onnx_surrogate(tmp_path / "net.onnx", PLAIN).run)
    files = [path for path in tmp_path.iterdir() if path.name != "net.onnx"]
    assert len(files) > 1
    for path in files:
        content = path.read_bytes()
        path.write_bytes(bytes(len(content)))
        with pytest.raises(ValueError, match="was changed since it was opened"):
            pickle.loads(kept)
        path.write_bytes(content)
    assert np.isfinite(pickle.loads(kept)(P)).all()


def test_a_file_that_was_made_for_fewer_rows_or_a_newer_runtime_says_so(tmp_path):
    onnx = onnx_here()
    path = onnx_file(network(), tmp_path / "net.onnx")
    model = onnx.load(str(path))
    model.graph.node[-1].output[0] = "flat"  # as an exporter does that saw 2 rows and took them for all there are
    model.graph.node.append(onnx.helper.make_node("Reshape", ["flat", "two"], [model.graph.output[0].name]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2, 6]), "two"))
    onnx.save(model, str(path))
    with pytest.raises(ValueError, match=r"of 3 rows \(export it with a dynamic .*requested shape:\{2,6\}"):
        assay.onnx_surrogate(path, PLAIN)
    model.ir_version = 99
    onnx.save(model, str(path))
    with pytest.raises(ValueError, match="newer format .*IR version: 99, max .*: update onnxruntime, or lower"):
        assay.onnx_surrogate(path, PLAIN)


def test_onnx_files_of_another_problem_or_none(tmp_path):
    onnx = onnx_here()
    wide = assay.black_box(lambda p: np.ones(6), assay.Box(("a", "b", "c"), [0.0] * 3, [1.0] * 3), size=6)
    path = onnx_file(network(), tmp_path / "net.onnx")
    with pytest.raises(
        ValueError, match=r"takes inputs \[n, 2\], and black-box has \[n, 3\] \(a, b, c\): is it of another"
    ):
        assay.onnx_surrogate(path, wide)
    with pytest.raises(ValueError, match=r"answers \[n, 5\], and a field of six has 6 values"):
        assay.onnx_surrogate(onnx_file(network(size=5), tmp_path / "five.onnx"), PLAIN)
    for operator in ("Nothing", "Erf"):  # there is none, and none in float64
        with pytest.raises(ValueError, match="uses an operator that ONNX Runtime does not compute"):
            assay.onnx_surrogate(onnx_file(network(), tmp_path / "other.onnx", activation=operator), PLAIN)
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ValueError, match="is no ONNX file, or damaged"):
        assay.onnx_surrogate(tmp_path / "text.onnx", PLAIN)
    with pytest.raises(ValueError, match="there is no ONNX file at"):
        assay.onnx_surrogate(tmp_path / "none.onnx", PLAIN)
    model = onnx.load(str(path))
    whole = onnx.TensorProto.INT64
    cast = [onnx.helper.make_node("Cast", ["q"], ["p"], to=onnx.TensorProto.DOUBLE), *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(cast)
    model.graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info("q", whole, ["n", 2]))
    onnx.save(model, str(path))
    with pytest.raises(ValueError, match="takes int64, and inputs are handed over in one of float16, float32, float64"):
        assay.onnx_surrogate(path, PLAIN)
