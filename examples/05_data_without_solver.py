"""A data set, and no solver.

Two hundred rows of inputs and fields, as they come out of a file. A third is never trained on: it gives error bars for
new inputs that hold nine times in ten, by counting, and the worst error known. There is nothing to prove against, and
assay says so.
"""

import numpy as np

import assay

rng = np.random.default_rng(0)
x = np.linspace(0, 1, 101)
inputs = rng.uniform([0.2, 1.0], [0.8, 5.0], (200, 2))  # the place and the sharpness of a front
fields = np.tanh(inputs[:, 1:] * (x - inputs[:, :1]) * 5)

data = assay.dataset(inputs, fields, x)
train, tests = data.split(seed=0)
model = assay.train(data.problem, "gaussian-process", train)
bars = assay.conformal(data.problem, model, tests, miscoverage=0.1)
print(f"nine of ten new errors are below {bars.quantile:.2g}; the worst known is {bars.worst:.2g}")

found = assay.falsify(data.problem, model, tolerance=0.5, tests=tests)
print(found.verdict, found.worst)
assert bars.quantile < 0.2
