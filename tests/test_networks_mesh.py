"""Networks of places, meshes and manifolds: what each does not depend on, and that training goes on to the bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.heat import Heat
from assay.solvers.problems.thermal_block import ThermalBlock
from assay.solvers.snapshots.sample import sample
from assay.surrogates import ARCHITECTURES, load, save, train
from assay.surrogates.architectures import FIELD_NETWORKS
from assay.surrogates.networks import autoencoder, rollout
from assay.surrogates.networks.design import View, mesh_of
from assay.surrogates.networks.places import coordinate, graph, transformer
from assay.surrogates.training.optimise import LOOK
from assay.verify.guard import guard

DESIGNS = {d.name: d for d in (coordinate.COORDINATE, graph.GRAPH, transformer.TRANSFORMER, autoencoder.AUTOENCODER)}
SMALL = {
    "coordinate": {"width": 4, "layers": 1, "octaves": 1},
    "graph": {"width": 4, "rounds": 1},
    "transformer": {"width": 4, "layers": 1, "slices": 2},
    "autoencoder": {"width": 2, "levels": 2},
}


@pytest.fixture(scope="module")
def problem():
    return ThermalBlock(cells=4, low=0.5, high=2.0)


@pytest.fixture(scope="module")
def snapshots(problem):
    return sample(problem, 16)


def seen(problem, rows=2):
    P = jnp.asarray(problem.inputs.sample(rows, seed=1))
    where, times = (jnp.asarray(a) for a in mesh_of(problem))
    return View(jax.vmap(problem.features)(P)[0], problem.input_fields(P), where, times, jnp.asarray(problem.edges))


def network(problem, name, view):
    """A network with random weights, its last layer's among them: (view) -> [n, times, nodes, components]."""
    net = DESIGNS[name].build(problem, **SMALL[name])
    weights = jax.jit(net.init)(jax.random.PRNGKey(0), view)["params"]
    leaves, tree = jax.tree.flatten(weights)
    rng = np.random.default_rng(0)
    weights = jax.tree.unflatten(tree, [a + 0.3 * rng.standard_normal(a.shape) for a in leaves])
    return jax.jit(lambda view: net.apply({"params": weights}, view))


def renumbered(view, order):
    """Node k is what was node order[k]; every edge joins the same two places, in another order of the edges."""
    new = jnp.argsort(order)
    edges = jnp.sort(new[view.edges], axis=1)
    return view._replace(
        fields=view.fields[:, order], coordinates=view.coordinates[order], edges=edges[jnp.lexsort(edges.T)]
    )


@pytest.mark.parametrize("name", ["graph", "transformer", "coordinate"])
def test_renumbering_the_nodes_renumbers_the_answer(problem, name):
    view = seen(problem)
    order = np.random.default_rng(3).permutation(problem.shape[1])
    net = network(problem, name, view)
    out, moved = np.asarray(net(view)), np.asarray(net(renumbered(view, order)))
    assert np.ptp(out, axis=2).min() > 1e-3
    np.testing.assert_allclose(moved, out[:, :, order], rtol=1e-10, atol=1e-12)


def test_a_message_reaches_one_edge_further_with_every_round(problem):
    """But for what all nodes hear at once: a network that ignores it is local."""
    view = seen(problem)
    net = graph.GRAPH.build(problem, width=4, rounds=1)
    weights = jax.jit(net.init)(jax.random.PRNGKey(0), view)["params"]
    weights = {**weights, "head": {**weights["head"], "kernel": jnp.ones_like(weights["head"]["kernel"])}}
    for name in ("all", "to"):  # the first rows read the inputs' features, the last the mean over nodes
        part = weights["round"][name]
        part["kernel"] = part["kernel"].at[:, 4:].set(0.0)
    other = view._replace(fields=view.fields.at[:, 0].add(1.0))
    change = np.asarray(net.apply({"params": weights}, other) - net.apply({"params": weights}, view))[0, 0, :, 0]
    near = {0, *np.asarray(view.edges)[(np.asarray(view.edges) == 0).any(axis=1)].ravel()}
    assert set(np.flatnonzero(change)) == near


def test_a_coordinate_network_answers_each_node_from_its_own_place(problem):
    view = seen(problem)
    net = network(problem, "coordinate", view)
    moved = view._replace(coordinates=view.coordinates.at[7].add(0.1), fields=None, edges=None)
    change = np.abs(np.asarray(net(moved) - net(view))).max(axis=(0, 1, 3))
    assert np.array_equal(np.flatnonzero(change > 1e-13), [7])


def test_times_are_places_of_a_coordinate_network():
    """At one time it answers as at that time among others."""
    problem = Heat(cells=4, steps=3)
    P = jnp.asarray(problem.inputs.sample(2, seed=1))
    where, times = (jnp.asarray(a) for a in mesh_of(problem))
    view = View(jax.vmap(problem.features)(P)[0], None, where, times)
    net = network(problem, "coordinate", view)
    out, back = np.asarray(net(view)), np.asarray(net(view._replace(times=times[::-1])))
    assert out.shape == (2, *problem.shape)
    np.testing.assert_allclose(back, out[:, ::-1], rtol=1e-10, atol=1e-13)


def test_an_encoding_has_the_period_of_a_mesh():
    """Moved by a period along the axis that has one, a place looks the same; along the other it does not."""
    x = jnp.asarray([[0.3, -0.7]])
    here, around, beyond = (
        coordinate.encoded(x + jnp.asarray(by), 3, (2.5, 0.0)) for by in ([0.0, 0.0], [2.5, 0.0], [0.0, 2.5])
    )
    np.testing.assert_allclose(around, here, atol=1e-13)
    assert np.abs(beyond - here).max() > 0.1
    way = graph.Graph(2, 1, (2.5, 0.0), (1, 2, 1)).ways(
        jnp.asarray([[-1.0, 0.0], [1.0, 0.0]]), jnp.array([0]), jnp.array([1])
    )
    np.testing.assert_allclose(way, [[-1.0, 0.0, 1.0]])  # half a unit back around the end, in units of itself


def test_a_finer_grid_interpolates_linearly():
    x, y = np.linspace(0, 1, 3), np.linspace(0, 1, 4)
    plane = (2 * x[:, None] - y)[None, :, :, None]
    fine = 2 * np.linspace(0, 1, 5)[:, None] - np.linspace(0, 1, 8)
    np.testing.assert_allclose(autoencoder.between(jnp.asarray(plane), (5, 8))[0, :, :, 0], fine, atol=1e-14)


def test_the_manifold_has_as_many_dimensions_as_the_code(problem):
    view = seen(problem, 1)._replace(fields=None, edges=None)
    net = DESIGNS["autoencoder"].build(problem, latent=2, **SMALL["autoencoder"])
    weights = jax.jit(net.init)(jax.random.PRNGKey(0), view)["params"]
    weights["decoder"]["head"]["kernel"] = jnp.ones_like(weights["decoder"]["head"]["kernel"])
    slopes = jax.jit(jax.jacfwd(lambda x: net.apply({"params": weights}, view._replace(x=x[None]))))(view.x[0])
    assert np.linalg.matrix_rank(np.asarray(slopes).reshape(-1, 4), tol=1e-12) == 2


def test_where_there_is_no_grid_an_autoencoder_is_dense_and_a_graph_says_what_fits():
    problem = black_box(lambda p: p[0] * np.ones(5), Box(("a",), [1.0], [2.0]))
    rows = sample(problem, 6)
    s = train(problem, "autoencoder", rows, steps=2)
    assert s(rows.inputs).shape == (6, 5) and "net.encoder.hidden_0.kernel" in s.arrays
    with pytest.raises(
        ValueError, match=r"which graph needs \(coordinates do where they are given\): transformer needs"
    ):
        train(problem, "graph", rows)
    assert not ARCHITECTURES["transformer"].misfit(problem)


@pytest.mark.parametrize("name", SMALL)
def test_settings_out_of_range_are_refused(problem, snapshots, name):
    with pytest.raises(ValueError, match="width is a whole number of at least 1, not 0"):
        train(problem, name, snapshots, width=0)


@pytest.mark.parametrize(
    "case", [ThermalBlock(cells=4), ThermalBlock((1, 2), cells=4), Heat(cells=4, steps=2)], ids=repr
)
def test_symmetries_are_those_of_the_truth(case):
    """Every motion, and every product of two is there."""
    p = case.inputs.sample(1, seed=4)[0]
    u = np.asarray(case.solve(p))
    for g in case.symmetries:
        np.testing.assert_allclose(case.solve(p[g.inputs]), u[g.entries], rtol=1e-8, atol=1e-9 * np.abs(u).max())
    assert len(case.symmetries) == (4 if getattr(case, "blocks", None) == (1, 2) else 8)
    group = {(*g.inputs, *g.entries) for g in case.symmetries}
    assert len(group) == len(case.symmetries)
    assert {(*g.inputs[h.inputs], *g.entries[h.entries]) for g in case.symmetries for h in case.symmetries} == group


@pytest.mark.parametrize("way", ["average", "canonical"])
def test_symmetries_are_kept_exactly(problem, snapshots, way, tmp_path):
    s = train(problem, "mlp", snapshots, steps=3, widths=(8,), symmetry=way)
    plain = train(problem, "mlp", snapshots, steps=3, widths=(8,))
    P = problem.inputs.sample(3, seed=4)
    kept, broken = [], []
    for g in problem.symmetries[1:]:
        kept.append(np.abs(s(P[:, g.inputs]) - s(P)[:, g.entries]).max())
        broken.append(np.abs(plain(P[:, g.inputs]) - plain(P)[:, g.entries]).max())
    assert max(kept) <= (0 if way == "canonical" else 1e-14) and min(broken) > 1e-4
    assert np.array_equal(load(save(s, tmp_path / "model"), problem)(P), s(P))
    assert s.parameters == plain.parameters


def test_a_problem_without_symmetries_says_so():
    problem = black_box(lambda p: p[0] * np.ones(3), Box(("a",), [1.0], [2.0]))
    with pytest.raises(ValueError, match="black-box declares no symmetries: leave symmetry at 'none'"):
        train(problem, "mlp", sample(problem, 4), symmetry="average")


def test_a_rollout_takes_every_step_by_one_network_and_is_trained_one_and_two_steps_ahead():
    """Its own trajectory costs no penalty; truths that leave it after one time cost what they leave it by."""
    problem = Heat(cells=4, steps=3)
    base = jnp.asarray(np.random.default_rng(5).standard_normal((2, *problem.shape)))
    view = seen(problem)._replace(base=base, given=0 * base)
    net = rollout.ROLLOUT.build(problem, width=3, layers=1)
    weights = jax.jit(net.init)(jax.random.PRNGKey(0), view)["params"]
    weights = jax.tree.map(lambda a: a + 0.1, weights)
    u = net.apply({"params": weights}, view)
    assert u.shape == (2, *problem.shape) and np.abs(np.diff(u, axis=1)).max() > 1e-3

    def penalty(u):
        return float(net.apply({"params": weights}, view, u, method="penalty"))

    assert penalty(u) < 1e-25
    last = u.at[:, -1].add(1.0)  # one of three steps, and one of two double steps, misses by one
    assert np.isclose(penalty(last), 3**2 * (1 / 3 + 1 / 2), rtol=1e-12)
    stationary = ThermalBlock(cells=4)
    assert "rollout needs several: unet or mlp" in ARCHITECTURES["rollout"].misfit(stationary)


def test_a_projected_network_is_guarded_by_its_coefficients(problem, snapshots):
    """The guard asks for coefficients alone, accepts what they prove, and what it proves is true."""
    s = train(problem, "mlp", snapshots, steps=400, widths=(16,), project=6)
    P = problem.inputs.sample(12, seed=4)
    truths = np.asarray(problem.solve_batch(P))
    answer = guard(problem, s, 0.3)(P)
    assert (answer.route == "accepted").sum() > 6
    errors = np.array([float(problem.relative_error(p, u, v)) for p, u, v in zip(P, answer.u, truths, strict=True)])
    assert (errors <= answer.relative_upper + 1e-12).all() and (errors <= 0.3).all()
    np.testing.assert_allclose(answer.u[answer.route == "accepted"], s(P)[answer.route == "accepted"], atol=1e-12)


TINY = {
    **SMALL,
    "mlp": {"widths": (4,)},
    "resnet": {"width": 4, "layers": 2},
    "deeponet": {"branch": (4,), "trunk": (4,), "terms": 3},
    "fno": {"width": 2, "layers": 1, "modes": 2},
    "unet": {"width": 2, "levels": 2},
    "rollout": {"width": 2, "layers": 1},
}


@pytest.mark.parametrize("name", [design.name for design in FIELD_NETWORKS])
def test_every_network_learns_from_physics(problem, snapshots, name):
    """Beside fields and alone: the loss at first and after fifty steps, of few rows and points."""
    if name == "rollout":
        problem = Heat(cells=4, steps=2)
        snapshots = sample(problem, 4)
    for weight in (0.5, 1.0):
        options = {"physics_weight": weight, "physics_points": 4, "batch": 4, "steps": LOOK, **TINY[name]}
        first, last = train(problem, name, snapshots.first(4), **options).training["curve"]
        assert np.isfinite(first) and 0 < last < first


class Stop(Exception):
    """What interrupts the runs below."""


@pytest.mark.parametrize("name", [*SMALL, "rollout"])
def test_an_interrupted_run_goes_on_to_the_bit_and_comes_back_from_its_file(
    problem, snapshots, tmp_path, monkeypatch, name
):
    if name == "rollout":
        problem = Heat(cells=4, steps=2)
        snapshots = sample(problem, 16)
    options = {
        "steps": 60,
        "batch": 4,
        **SMALL.get(name, {"width": 2, "layers": 1}),
    }  # a look at the rows held out at step 50
    straight = train(problem, name, snapshots, **options)
    monkeypatch.setattr("assay.surrogates.training.optimise.PAUSE", 0.0)  # chunks of one step

    def stop(done, total, note):
        if done >= 7:
            raise Stop

    with pytest.raises(Stop):
        train(problem, name, snapshots, checkpoint=tmp_path / "state", progress=stop, **options)
    resumed = train(problem, name, snapshots, checkpoint=tmp_path / "state", **options)
    assert resumed.training["steps"] == 60
    assert all(np.array_equal(a, resumed.arrays[key]) for key, a in straight.arrays.items())
    back, P = load(save(straight, tmp_path / "model"), problem), problem.inputs.sample(5, seed=2)
    assert np.array_equal(back(P), straight(P)) and back.training == straight.training
    if name == "autoencoder":
        assert (straight.training["latent"], straight.training["inputs"]) == (4, 4)
    good = straight(P)
    np.testing.assert_allclose(np.concatenate([straight(P[:1]), straight(P[1:])]), good, rtol=1e-10, atol=1e-13)
    P[2, 1] = np.nan
    np.testing.assert_allclose(straight(P)[[0, 1, 3, 4]], good[[0, 1, 3, 4]], rtol=1e-10, atol=1e-13)
    assert np.isnan(straight(P)[2]).any()
