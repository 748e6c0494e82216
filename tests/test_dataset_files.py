"""Data sets in files: there and back in three layouts, as they are found elsewhere, and what is refused."""

import re

import h5py
import numpy as np
import pytest
from test_dataset import T, X, heat, state

import assay
from assay.solvers.datasets.dataset import Dataset


def rounded(a: np.ndarray) -> np.ndarray:
    """Numbers that float32 holds, as files of others do."""
    return a.astype(np.float32).astype(float)


def same(one: Dataset, other: Dataset) -> bool:
    return one.problem.fingerprint == other.problem.fingerprint and one.snapshots.hash == other.snapshots.hash


@pytest.mark.parametrize("layout", ["assay", "pdebench", "the-well"])
def test_there_and_back(layout, tmp_path):
    first, later = rounded(state(0.0)), rounded(np.stack([state(t) for t in T], axis=1))
    made = assay.dataset(first[..., None], later, (X,), times=T, names=["u"], name="there")
    back = assay.load_dataset(assay.save_dataset(made, tmp_path / "there.h5", layout))
    if layout == "pdebench":  # it has no names for channels
        made = assay.dataset(first[..., None], later, (X,), times=T, name="there")
    assert same(made, back)


@pytest.mark.parametrize("layout", ["pdebench", "the-well"])
def test_a_coefficient_there_and_back(layout, tmp_path):
    rng = np.random.default_rng(0)
    nu, u = rounded(rng.random((6, 3, 4))), rounded(rng.random((6, 3, 4)))
    ticks = (np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.25, 0.5, 0.75]))
    made = assay.dataset(nu[..., None], u, ticks, names=["nu"], name="darcy")
    path = assay.save_dataset(made, tmp_path / "darcy.h5", layout)
    assert same(made, assay.load_dataset(path))
    if layout == "pdebench":
        with h5py.File(path) as file:
            assert file["tensor"].shape == (6, 1, 3, 4) and file["nu"].shape == (6, 3, 4) and file["nu"].dtype == "f4"
    assert assay.load_dataset(path, samples=4, every_node=2).problem.grid_shape == (2, 2)


@pytest.mark.parametrize("layout", ["assay", "pdebench", "the-well"])
@pytest.mark.parametrize("sides", [(8,), (8, 4)])
def test_a_periodic_grid_there_and_back(layout, sides, tmp_path):
    rng = np.random.default_rng(0)
    ticks = tuple(np.arange(side) / side for side in sides)
    first, later = rounded(rng.random((5, *sides, 1))), rounded(rng.random((5, 2, *sides)))
    for periodic in (True, False):
        names = ["u"] if layout == "the-well" else None  # which has them for channels
        made = assay.dataset(first, later, ticks, times=[0.5, 1.0], names=names, periodic=periodic, name="ring")
        back = assay.load_dataset(assay.save_dataset(made, tmp_path / "ring.h5", layout))
        assert same(made, back) and back.problem.periodic is periodic
        assert (back.problem.edges == made.problem.edges).all()
        other = assay.load_dataset(tmp_path / "ring.h5", periodic=not periodic, name="other")
        assert (other.problem.periodic, other.problem.name, other.remarks) == (not periodic, "other", ())
        assert (back.remarks == ()) is (periodic or layout != "the-well")


def boundaries(path, kinds):
    """A file of The Well on 4 x 6 nodes, with boundaries (its axis, its kind), masked as the published files are."""
    rng, sides = np.random.default_rng(0), {"x": 4, "y": 6}
    with h5py.File(path, "w") as file:
        dims = file.create_group("dimensions")
        dims.attrs["spatial_dims"] = ["x", "y"]
        dims["time"], dims["x"], dims["y"] = np.arange(3.0), np.arange(4.0), np.arange(6.0)
        fields = file.create_group("t0_fields")
        fields.attrs["field_names"], fields["u"] = ["u"], rng.random((5, 3, 4, 6))
        for axis, kind in kinds:
            boundary = file.create_group(f"boundary_conditions/{axis}_{kind.lower()}")
            boundary.attrs["bc_type"], boundary.attrs["associated_dims"] = kind, [axis]
            boundary["mask"] = np.isin(np.arange(sides[axis]), (0, sides[axis] - 1))
    return path


def test_what_a_file_says_of_its_boundaries(tmp_path):
    path = tmp_path / "well.h5"
    cases = {
        (("x", "PERIODIC"), ("y", "periodic")): (True, ""),
        (("x", "PERIODIC"), ("y", "WALL")): (False, "its grid is periodic along x and not along y"),
        (("y", "PERIODIC"),): (False, "its grid is periodic along y and not along x"),
        (("x", "OPEN"), ("y", "WALL")): (False, ""),
        (): (False, "nothing in it says whether its grid is periodic"),
        (("x", "periodique"), ("y", "3")): (False, "nothing in it says whether its grid is periodic"),
        (("x", "PERIODIC"), ("x", "WALL"), ("y", "PERIODIC")): (False, "PERIODIC along x, and WALL"),
    }
    for kinds, (periodic, said) in cases.items():
        found = assay.load_dataset(boundaries(path, kinds))
        assert found.problem.periodic is periodic
        assert len(found.remarks) == bool(said) and all(said in remark for remark in found.remarks)
        told = assay.load_dataset(path, periodic=True)
        assert told.problem.periodic and not told.remarks
    boundaries(path, (("x", "PERIODIC"), ("y", "PERIODIC")))
    assert assay.load_dataset(path, every_node=2).problem.periodic
    (remark,) = assay.load_dataset(path, every_node=3).remarks  # of 4 nodes 0 and 3, one step apart around the end
    assert "every_node=3 does not divide its 4 nodes" in remark
    data = assay.dataset([[1.0], [2.0]], np.eye(4)[:2], (np.arange(4) / 4,), periodic=True)
    with h5py.File(assay.save_dataset(data, path, "the-well")) as file:  # as its own reader takes it
        boundary = file["boundary_conditions/x_periodic"]
        assert boundary.attrs["bc_type"] == "PERIODIC" and list(boundary.attrs["associated_dims"]) == ["x"]
        assert boundary["mask"][:].tolist() == [True, False, False, True]


def test_numbers_there_and_back(tmp_path):
    rng = np.random.default_rng(0)
    p, u = rounded(rng.random((6, 2))), rounded(rng.random((6, 9, 2)))
    made = assay.dataset(p, u, (X,), names=["a", "b"], components=["v", "w"], name="numbers")
    assert same(made, assay.load_dataset(assay.save_dataset(made, tmp_path / "numbers.h5", "the-well")))
    weighted = assay.dataset(p, u, (X,), norm=np.arange(1.0, 10.0), name="weighted")
    back = assay.load_dataset(assay.save_dataset(weighted, tmp_path / "weighted.h5"))
    assert same(weighted, back) and back.problem.norm(p[0], u[0].ravel()) == weighted.problem.norm(p[0], u[0].ravel())
    with pytest.raises(ValueError, match="write layout='assay', which holds all"):
        assay.save_dataset(made, tmp_path / "numbers.h5", "pdebench")


def test_pdebench_as_it_is_found(tmp_path):
    """One time more than states; flow fields by their names; a group for each sample."""
    rng = np.random.default_rng(0)
    U, t = rng.random((5, 4, 9, 2)).astype("f4"), np.linspace(0, 1, 5)
    path = tmp_path / "burgers.h5"
    with h5py.File(path, "w") as file:
        file["tensor"], file["x-coordinate"], file["t-coordinate"] = U[..., 0], X, t
    found = assay.load_dataset(path)
    assert found.problem.shape == (3, 9, 1) and (found.problem.times == t[1:4]).all()
    assert (found.snapshots.fields == U[:, 1:, :, 0].reshape(5, -1)).all()
    assert (assay.load_dataset(path, every_time=3).problem.times == t[[3]]).all()
    with h5py.File(path, "w") as file:
        file["density"], file["Vx"], file["x-coordinate"], file["t-coordinate"] = U[..., 0], U[..., 1], X, t
    found = assay.load_dataset(path)
    assert found.problem.parts == ("density", "Vx") and (found.snapshots.fields == U[:, 1:].reshape(5, -1)).all()
    with h5py.File(path, "w") as file:
        for i in range(5):
            file[f"{i:04d}/data"], file[f"{i:04d}/grid/x"], file[f"{i:04d}/grid/t"] = U[i], X, t[:4]
    assert (assay.load_dataset(path, samples=3).snapshots.fields == U[:3, 1:].reshape(3, -1)).all()


def test_the_well_as_it_is_found(tmp_path):
    """A vector field, one that does not vary along an axis, numbers of each sample, and what is the same in all."""
    rng = np.random.default_rng(0)
    B, S, W, H = 4, 3, 5, 2
    p, v, k = rng.random((B, S, W, H)), rng.random((B, S, W, H, 2)), rng.random((B, W))
    path = tmp_path / "well.hdf5"
    with h5py.File(path, "w") as file:
        dims = file.create_group("dimensions")
        dims.attrs["spatial_dims"] = ["x", "y"]
        dims["time"], dims["x"], dims["y"] = np.arange(3.0), np.arange(5.0), np.array([0.0, 2.0])
        scalars = file.create_group("scalars")
        scalars.attrs["field_names"] = ["Re", "g"]
        scalars["Re"], scalars["g"] = np.arange(4.0), 9.81
        scalars["Re"].attrs["sample_varying"], scalars["g"].attrs["sample_varying"] = True, False
        for order, name, values, about in (
            ("t0_fields", "p", p, {}),
            ("t0_fields", "k", k, {"time_varying": False, "dim_varying": [True, False]}),
            ("t0_fields", "mask", np.ones((W, H)), {"time_varying": False, "sample_varying": False}),
            ("t1_fields", "v", v, {}),
        ):
            group = file.require_group(order)
            group.attrs["field_names"] = [*group.attrs.get("field_names", []), name]
            group[name] = values
            group[name].attrs.update(
                {"sample_varying": True, "time_varying": True, "dim_varying": [True, True]} | about
            )
    found = assay.load_dataset(path)
    assert found.problem.parts == ("p", "v_x", "v_y") and found.problem.channels == ("p", "v_x", "v_y", "k", "Re")
    U = np.concatenate([p[..., None], v], axis=-1)
    assert (found.snapshots.fields == U[:, 1:].reshape(B, -1)).all()
    seen = np.asarray(found.problem.input_fields(found.snapshots.inputs)).reshape(B, W, H, 5)
    assert (seen[..., :3] == U[:, 0]).all() and (seen[..., 3] == k[:, :, None]).all()
    assert (seen[..., 4] == np.arange(4.0)[:, None, None]).all()
    unsaid = "nothing in it says whether its grid is periodic, and it is taken as not: periodic=True where it is"
    assert found.remarks == ("mask is the same in all samples, and was left out", unsaid)


def test_arrays_of_ones_own_are_read_by_their_names(tmp_path):
    rng = np.random.default_rng(3)
    inputs, fields, where = rng.random((5, 2)), rng.random((5, 7)), rng.random((7, 1))
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["inputs"], file["fields"], file["coordinates"] = inputs, fields, where
    assert same(assay.dataset(inputs, fields, where, name="mine"), assay.load_dataset(tmp_path / "mine.h5"))
    few = assay.load_dataset(tmp_path / "mine.h5", samples=3)
    assert same(assay.dataset(inputs[:3], fields[:3], where, name="mine"), few)
    with pytest.raises(ValueError, match="every time and node is read: leave every_time and every_node out"):
        assay.load_dataset(tmp_path / "mine.h5", every_node=2)


def test_files_of_another_layout_are_told_in_one_sentence(tmp_path):
    path = tmp_path / "mine.h5"
    with h5py.File(path, "w") as file:
        file["velocity"], file["pressure"] = np.ones(3), np.ones(3)
    told = "nor are there arrays named inputs and fields: it holds pressure, velocity. Read its arrays with h5py"
    with pytest.raises(ValueError, match=re.escape(told)):
        assay.load_dataset(path)
    with h5py.File(path, "w") as file:
        file["tensor"], file["x-coordinate"], file["t-coordinate"] = np.ones((3, 2, 8)), X, np.arange(2.0)
    with pytest.raises(ValueError, match=re.escape("its coordinates ask for [N, T, 9]")):
        assay.load_dataset(path)
    with h5py.File(path, "w") as file:
        file["tensor"], file["x-coordinate"] = np.ones((3, 2, 9)), h5py.ExternalLink("other.h5", "x")
    with pytest.raises(ValueError, match="no array of numbers that lies in the file itself"):
        assay.load_dataset(path)
    with h5py.File(path, "w") as file:
        file["0000"] = h5py.ExternalLink("other.h5", "/")
    with pytest.raises(ValueError, match="'0000' is no group that lies in the file itself"):
        assay.load_dataset(path)
    with h5py.File(path, "w") as file:
        file.create_group("dimensions").attrs["spatial_dims"] = 3.0
        file.create_group("t0_fields")
    with pytest.raises(ValueError, match="its dimensions lack @spatial_dims, an axis that stands there, or time"):
        assay.load_dataset(path)
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "assay-dataset-1"
        for name in ("about", "inputs", "fields", "points", "times"):
            file.create_dataset(name, (1 << 40,), dtype="f8")  # nothing is stored of it
    with pytest.raises(ValueError, match="damaged"):
        assay.load_dataset(path)
    path.write_text("no HDF5")
    with pytest.raises(ValueError, match=r"cannot be read as HDF5: .*\. Arrays of other files: assay\.dataset"):
        assay.load_dataset(path)
    with pytest.raises(ValueError, match="there is no data file at"):
        assay.load_dataset(tmp_path / "none.h5")
    with pytest.raises(ValueError, match="every_node must be a whole number of at least 1, not 0"):
        assay.load_dataset(path, every_node=0)


def test_nan_in_a_file_is_located_and_a_changed_file_is_refused(tmp_path):
    data = heat()
    path = assay.save_dataset(data, tmp_path / "data.h5", "pdebench")
    with h5py.File(path, "r+") as file:
        file["tensor"][7, 2, 5] = np.nan
    place = f"{path}: the field of sample 7 is nan at node 5 (0.625), time 0.5: mend them, or leave such samples out"
    with pytest.raises(ValueError, match=re.escape(place)):
        assay.load_dataset(path)
    assert len(assay.load_dataset(path, drop=True)) == 39
    path = assay.save_dataset(data, tmp_path / "own.h5")
    assert same(assay.load_dataset(path), data)
    with h5py.File(path, "r+") as file:
        file["fields"][0, 0] += 1.0
    with pytest.raises(ValueError, match="its content does not have the hash written in it"):
        assay.load_dataset(path)


def test_data_and_path_in_the_wrong_order_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"save_dataset\(data, path\), not of a str and a list"):
        assay.save_dataset(str(tmp_path / "a.h5"), [])
