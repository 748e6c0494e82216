"""Any solver, any model: draws instead of proofs.

Predators and their prey, integrated by SciPy, and a model from scikit-learn. Nothing can be proved, so nothing is
called proved: 200 draws choose which answers a guard may accept such that, with 95 % confidence, at most one in twenty
of them is wrong by more than the tolerance. The other inputs are solved.
"""

import numpy as np
from scipy.integrate import solve_ivp
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import assay

times = np.linspace(0, 10, 50)


def solve(p):
    prey, predators = p

    def flow(t, y):
        return [y[0] * (1 - y[1]), y[1] * (y[0] - 1)]

    return solve_ivp(flow, (0, 10), [prey, predators], t_eval=times, rtol=1e-8).y.ravel()


box = assay.Box(("prey", "predators"), lower=[0.5, 0.5], upper=[1.5, 1.5])
problem = assay.black_box(solve, box, name="predators")
snapshots = assay.sample(problem, 40, seed=0)
model = make_pipeline(StandardScaler(), KernelRidge(kernel="rbf", gamma=0.3, alpha=1e-6))
surrogate = assay.sklearn_surrogate(model.fit(snapshots.inputs, snapshots.fields), problem)

calibration = assay.calibrate(problem, surrogate, n=200, tolerance=0.01, miscoverage=0.05, confidence=0.95)
answer = assay.guard(problem, surrogate, 0.01, calibration=calibration)(box.sample(100, seed=3))
print(calibration)
print(answer.counts)

chance = assay.failure_probability(problem, surrogate, 0.01, calls=300, seed=0)
print(f"errors above the tolerance: {chance.lower:.1%} to {chance.upper:.1%} of inputs ({chance.evidence})")
assert chance.upper < 0.2 and answer.counts["accepted"] > 20
