"""The learned update of the argument: what it is before it has learned anything."""

import jax.numpy as jnp
import numpy as np
from jax import random

from assay.benchmarks.argument import learned_update


def test_an_untaught_update_is_adam_at_its_rate():
    """Whatever the inner weights are: the outer ones are 0, so that the update is exp(-5) m/size."""
    rng = np.random.default_rng(0)
    w, g, m = (jnp.asarray(rng.standard_normal(n), jnp.float32) for n in (7, 7, (3, 7)))
    size, t = jnp.asarray(rng.uniform(0.1, 2.0, 7), jnp.float32), jnp.float32(3)
    theta = learned_update.untaught(random.PRNGKey(0))
    found = learned_update.learned(theta, w, g, m, size, t, t)
    adam = learned_update.adam(jnp.array([np.exp(-5), 0], jnp.float32), w, g, m[1:2], size, t, t)
    np.testing.assert_allclose(found, adam, rtol=1e-6)  # a few roundings of single precision
    assert not np.allclose(learned_update.learned(theta.at[-1].set(0.1), w, g, m, size, t, t), adam)


def test_schedules_of_adam():
    """A held rate is the same at the end; one that falls has a hundredth of it there."""
    one, end = jnp.ones(1), jnp.float32(200)
    ends = [learned_update.adam(jnp.array([0.1, f]), one, one, one[None], one, end, end)[0] for f in (0.0, 1.0)]
    np.testing.assert_allclose(ends, [0.1, 0.001], rtol=1e-5)
