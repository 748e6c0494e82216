"""Operator networks: convolutions against dense ones, symmetries that hold exactly, and problems that do not fit."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import assay
from assay.solvers.box import Box
from assay.solvers.problems.black_box import black_box
from assay.solvers.problems.catalogue import problem
from assay.surrogates.networks import deeponet, fno, unet
from assay.surrogates.networks.convolution import Convolution
from assay.surrogates.networks.design import View, mesh_of
from assay.surrogates.networks.fourier import SpectralConvolution, most_modes

DESIGNS = {"fno": fno.FNO, "unet": unet.UNET, "deeponet": deeponet.DEEPONET}
RNG = np.random.default_rng(0)


def view_of(case, n=2, seed=0, dtype=jnp.float64):
    P = case.inputs.sample(n, seed)
    places, times = mesh_of(case)
    x = case.inputs.to_unit(P)
    return View(*(jnp.asarray(a, dtype) for a in (x, case.input_fields(P), places, times)))


def weights_of(net, view, dtype=jnp.float64):
    """None of them zero, the head's among them."""
    shapes = jax.eval_shape(net.init, jax.random.PRNGKey(0), view)["params"]
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda s: jnp.asarray(rng.standard_normal(s.shape) / 2, dtype), shapes)


def applied(net, weights, view):
    return jax.jit(lambda w, v: net.apply({"params": w}, v))(weights, view)


@pytest.fixture(scope="module")
def ring():
    return problem("burgers", boundary="periodic", cells=12, steps=3, modes=2)


@pytest.fixture(scope="module")
def hills():
    """A bump on a 7 x 6 grid, wider or higher by the inputs."""
    x, y = np.meshgrid(np.linspace(0, 1, 7), np.linspace(0, 1, 6), indexing="ij")
    box = Box(("height", "width"), [0.5, 0.1], [2.0, 0.5])
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    return black_box(lambda p: (p[0] * np.exp(-((x - 0.5) ** 2 + (y - 0.3) ** 2) / p[1] ** 2)).ravel(), box, points)


@pytest.mark.parametrize("sides", [(7,), (5, 7), (3, 5, 3)])
def test_all_modes_are_any_convolution_on_a_periodic_grid(sides):
    """The matrices of the modes are the Fourier coefficients of the kernel: then both are the same map."""
    modes = tuple(most_modes(n, True, n) for n in sides)
    layer = SpectralConvolution(modes, tuple(map(float, sides)), 1)
    kernel, h = RNG.standard_normal(sides), RNG.standard_normal(sides)
    hats = np.fft.fftn(kernel)[: modes[0]]
    for axis, m in enumerate(modes[1:], start=1):
        hats = np.take(hats, np.arange(1 - m, m), axis=axis)
    hats = hats.transpose()[..., None, None]  # the axes of the grid in reverse, then channels
    found = layer.apply({"params": {"kernel": jnp.asarray([hats.real, hats.imag])}}, jnp.asarray(h)[..., None, None])
    shifts = np.ndindex(*sides)
    axes = tuple(range(len(sides)))
    dense = sum(kernel[s] * np.roll(h, s, axes) for s in shifts)
    np.testing.assert_allclose(np.asarray(found)[..., 0, 0], dense, atol=1e-13)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("grid", [(6,), (5, 4)])
def test_a_convolution_is_the_sum_over_neighbours(grid, periodic):
    h = RNG.standard_normal((2, *grid, 3))
    layer = Convolution(2, periodic)
    weights = {"kernel": RNG.standard_normal((3, 3 ** len(grid) * 2)), "bias": RNG.standard_normal(2)}
    found = layer.apply({"params": jax.tree.map(jnp.asarray, weights)}, jnp.asarray(h))
    wide = np.pad(h, [(0, 0), *[(1, 1)] * len(grid), (0, 0)], mode="wrap" if periodic else "constant")
    total = np.zeros((2, *grid, 2)) + weights["bias"]
    kernel = weights["kernel"].reshape(3, *(3,) * len(grid), 2)
    for s in np.ndindex(*(3,) * len(grid)):
        part = wide[(slice(None), *(slice(k, k + n) for k, n in zip(s, grid, strict=True)))]
        total += part @ kernel[(slice(None), *s)]
    np.testing.assert_allclose(found, total, atol=1e-13)


def test_pooling_keeps_means_and_constants_on_grids_of_any_side():
    h = jnp.asarray(RNG.standard_normal((1, 6, 4, 2)))
    np.testing.assert_allclose(unet.halved(h).mean((1, 2)), h.mean((1, 2)), atol=1e-15)
    odd = jnp.ones((1, 5, 7, 1))
    assert unet.halved(odd).shape == (1, 3, 4, 1) and (unet.halved(odd) == 1).all()
    assert unet.doubled(unet.halved(odd), (5, 7)).shape == odd.shape
    np.testing.assert_array_equal(unet.halved(unet.doubled(h, (12, 8))), h)


def test_a_shifted_input_has_the_shifted_answer_on_a_periodic_grid(ring):
    """Fourier layers for every shift; the pyramid of three levels for those of four nodes."""
    for design, shift in ((fno.FNO, 1), (unet.UNET, 4)):
        net, view = design.build(ring, width=4), view_of(ring)
        weights = weights_of(net, view)
        out = applied(net, weights, view)
        shifted = applied(net, weights, view._replace(fields=jnp.roll(view.fields, shift, axis=1)))
        assert float(jnp.ptp(out[0, 0])) > 1e-5  # it does depend on the place
        np.testing.assert_allclose(shifted, jnp.roll(out, shift, axis=2), atol=1e-12)


def test_a_trained_network_keeps_shifts_too():
    """What is added to the network's fields, the mean of the sample, must not know the place."""
    u = RNG.standard_normal((16, 12)) @ np.cos(2 * np.pi * np.subtract.outer(np.arange(12), np.arange(12)) / 12)
    data = assay.dataset(u[..., None], u**2, np.arange(12) / 12, periodic=True)
    made = assay.train(data.problem, "fno", data.snapshots, steps=20, width=4, layers=1, modes=3)
    np.testing.assert_allclose(made(np.roll(u, 1, axis=1)), np.roll(made(u), 1, axis=1), rtol=1e-12)


def test_a_rollout_goes_on_from_where_it_was(ring):
    """The same weights for more steps: the first states are the same, and later ones differ."""
    longer = problem("burgers", boundary="periodic", cells=12, steps=6, modes=2)
    build = partial(fno.FNO.build, width=4, modes=3, time="rollout")
    weights = weights_of(build(ring), view_of(ring))
    few, many = (applied(build(case), weights, view_of(case)) for case in (ring, longer))
    assert few.shape == (2, 4, 12, 1) and many.shape == (2, 7, 12, 1)
    np.testing.assert_allclose(few, many[:, :4], atol=1e-13)
    assert float(jnp.abs(many[:, 4:] - many[:, 3:4]).min(axis=(0, 2, 3)).max()) > 0


@pytest.mark.parametrize("name", DESIGNS)
def test_shapes_and_precision(name, hills):
    """[n, times, nodes, components], in the precision that was asked for, all the way."""
    for case in (hills, problem("wave", cells=4, steps=8), problem("burgers", cells=8, steps=3)):
        if DESIGNS[name].misfit(case):
            continue
        net, view = DESIGNS[name].build(case), view_of(case, dtype=jnp.float32)
        out = jax.eval_shape(
            lambda w, v, net=net: net.apply({"params": w}, v), weights_of(net, view, jnp.float32), view
        )
        assert out.shape == (2, *case.shape) and out.dtype == jnp.float32
    times = problem("wave", cells=4, steps=8)
    if name == "fno":
        net, view = fno.FNO.build(times, time="axis", width=4), view_of(times)
        assert applied(net, weights_of(net, view), view).shape == (2, *times.shape)


def test_without_hidden_layers_in_the_trunk_fields_are_linear_in_the_place():
    case = problem("wave", blocks=(1,), cells=8, steps=16)
    net, view = deeponet.DEEPONET.build(case, trunk=(), branch=(5,), terms=3), view_of(case)
    out = np.asarray(applied(net, weights_of(net, view), view))
    assert np.abs(np.diff(out, axis=1)).min() > 1e-6 and np.abs(np.diff(out, axis=2)).min() > 1e-6
    for axis in (1, 2):  # time and place
        np.testing.assert_allclose(np.diff(out, 2, axis=axis), 0, atol=1e-14)


def test_on_a_periodic_grid_the_trunk_goes_around(ring):
    """The last node is as near to the first as any to the next: smooth across the end."""
    net, view = deeponet.DEEPONET.build(ring, trunk=(), branch=(3,), terms=2), view_of(ring)
    out = np.asarray(applied(net, weights_of(net, view), view))[0, 0, :, 0]
    hats = np.abs(np.fft.rfft(out))
    assert hats[1] > 1e-3 and hats[2:].max() < 1e-13  # cosine and sine of one period


def test_what_does_not_fit_is_said_and_what_fits_is_named():
    nowhere = black_box(lambda p: p[0] * np.ones(9), Box(("a",), [0.0], [1.0]))
    data = (np.linspace(0, 1, 8)[:, None], np.linspace(0, 1, 8)[:, None] * np.ones(9))
    for name in ("fno", "unet"):
        with pytest.raises(ValueError, match=f"no tensor grid, which {name} needs .*deeponet needs none"):
            assay.train(nowhere, name, data)
    assert deeponet.DEEPONET.misfit(nowhere) == ""
    short = black_box(lambda p: p[0] * np.ones(3), Box(("a",), [0.0], [1.0]), [0.0, 0.5, 1.0])
    assert fno.FNO.misfit(short) == "" and "at least 4 nodes along each axis" in unet.UNET.misfit(short)


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (fno.FNO.build, {"modes": (3,)}, r"one whole number or 2, one for each axis, not \(3,\)"),
        (fno.FNO.build, {"modes": 0}, "modes is a whole number of at least 1, not 0"),
        (fno.FNO.build, {"time": "rolled"}, "no time called 'rolled'; did you mean 'rollout'"),
        (unet.UNET.build, {"levels": 0}, "levels is a whole number of at least 1"),
        (deeponet.DEEPONET.build, {"trunk": (8, 0)}, "trunk is a whole number of at least 1, not 0"),
    ],
)
def test_settings_that_make_no_sense(hills, build, options, message):
    with pytest.raises(ValueError, match=message):
        build(hills, **options)


def test_more_modes_than_the_grid_has_are_left_out(hills):
    net = fno.FNO.build(hills, modes=50)
    assert net.modes == (4, 3)  # of 7 and 6 nodes and a margin of a quarter


@pytest.mark.parametrize(
    ("name", "options"),
    [("fno", {"width": 8, "layers": 2, "modes": 3}), ("unet", {"width": 4, "levels": 2}), ("deeponet", {"terms": 8})],
)
def test_each_learns_and_reads_back_the_same(hills, name, options, tmp_path):
    P, held = hills.inputs.sample(24, 0), hills.inputs.sample(16, 1)
    data = (P, hills.solve_batch(P))
    made = assay.train(hills, name, data, steps=1500, **options)
    errors = jax.vmap(hills.relative_error)(held, made(held), hills.solve_batch(held))
    dull = jax.vmap(hills.relative_error)(held, assay.train(hills, "mean", data)(held), hills.solve_batch(held))
    assert errors.mean() < 0.5 * dull.mean()
    again = assay.load(assay.save(made, tmp_path / "it.assay"), hills)
    np.testing.assert_array_equal(again(held), made(held))
