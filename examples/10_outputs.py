"""One number instead of a field.

Often the field is not what is asked for, but a mean or a flux. The tolerance may be put on such an output: its bound is
the product of two errors, so it is mostly far smaller than the field's, and far more answers are accepted.
"""

import numpy as np

import assay

problem = assay.problem("thermal-block", blocks=(2, 2), cells=16)
surrogate = assay.train(problem, "reduced-basis", assay.sample(problem, 12), seed=0)
P = problem.inputs.sample(200, seed=1)
fields = assay.certify(problem, surrogate, P)
means = assay.certify(problem, surrogate, P, output="mean")
half = [np.median(bounds.relative_upper) for bounds in (fields, means)]
print(f"half of the bounds are below {half[0]:.2g} for the field, {half[1]:.2g} for its mean")

whole = assay.guard(problem, surrogate, 1e-3)(P).counts["accepted"]
mean = assay.guard(problem, surrogate, 1e-3, output="mean")(P).counts["accepted"]
print(f"accepted without a solve: {whole} fields, {mean} means")
assert mean > 2 * whole
