"""Verification that guides training.

Rounds of looking where a surrogate fails, solving there, and training again; beside it the same method with as many
random samples. What judges is never trained on.
"""

import assay

problem = assay.problem("thermal-block", blocks=(2, 2), cells=8)
start = assay.sample(problem, 48, seed=0)
better = assay.repair(problem, "kernel-ridge", start, rounds=2, budget=32, tolerance=1e-2, seed=0, search=20)
for row in better.rounds:
    mine, random = row.repaired, row.random
    print(f"{row.rows} solves: worst {mine.worst:.2g} (random {random.worst:.2g}), certified {mine.certified:.0%}")

last = better.rounds[-1]
assert last.repaired.worst < 0.6 * last.random.worst
