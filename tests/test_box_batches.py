"""Bounds of many boxes: the same to the bit on any number of processors, and of devices, if several."""

import os
import subprocess
import sys

ON_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
import assay
from assay.verify.boxes import batches
from assay.verify.boxes.batches import BATCH, BoxBounds
from assay.verify.boxes.box_bound import BoxResult

def bound(low, high, weights, always_true):  # of sums whose last bits show the order in which they are formed
    x = jnp.linspace(0, 1, 37)[:, None] * (high - low) + low
    y = jnp.tanh(x @ weights) @ jnp.cos(weights.T)
    return BoxResult(jnp.sqrt(jnp.sum(y * y)), jnp.mean(jnp.exp(y)), jnp.argmax(high - low), x[jnp.argmax(y[:, 0])])

rng = np.random.default_rng(0)
weights = jnp.asarray(rng.standard_normal((3, 41)))
low = rng.random((BATCH, 3)); high = low + rng.random((BATCH, 3))
assert len(jax.devices()) == 4
for size in (1, 4):
    made = {}
    for name, devices, processors in (("one", 1, 1), ("three threads", 1, 3), ("two", 2, 1), ("four", 4, 2)):
        batches.processors = lambda: processors
        bounds = BoxBounds(bound, size, jax.devices()[:devices])
        assert bounds._devices == devices
        made[name] = bounds
        if devices > 1:
            arguments = bounds._arguments(low[:8], high[:8], weights, [slice(i, i + 1) for i in range(devices)])
            shards = bounds.prepare(3, weights)(*arguments).upper
            assert len(shards.sharding.device_set) == devices and shards.shape == (devices * BATCH,)
    for n in (1, 2, 3, 5, 8, 13, 31, 32, 33, 64):
        one = made["one"](low[:n], high[:n], weights)
        assert one.upper.shape == (n,) and one.best.shape == (n, 3)
        alone = np.array([made["one"](low[[i]], high[[i]], weights).upper[0] for i in (0, n - 1)])
        np.testing.assert_allclose(np.asarray(one.upper)[[0, n - 1]], alone, rtol=1e-14)
        found = {name: bounds(low[:n], high[:n], weights) for name, bounds in made.items()}
        for first, second in (("one", "three threads"), ("two", "four")):
            for a, b in zip(found[first], found[second]):
                np.testing.assert_array_equal(a, b, err_msg=f"{size} {n} {first} {second}")
        for a, b in zip(one, found["two"]):  # XLA compiles another program for one device than for several
            np.testing.assert_allclose(a, b, rtol=1e-13)
assert BoxBounds(bound, 32)._devices == 2  # of four: there are no more chunks
print("the same")
"""


def test_bounds_do_not_depend_on_how_many_devices_or_processors_there_are():
    devices = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    words = [sys.executable, "-c", ON_DEVICES]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "XLA_FLAGS": devices}
    )
    assert (done.returncode, done.stdout) == (0, "the same\n"), done.stderr
