"""A small cavity by dense algebra, and fields good and awful: shared by the tests of its bounds."""

import numpy as np

from assay.solvers.problems.cavity import Cavity
from assay.verify.proofs.cavity.forms import Forms

PROBLEM = Cavity(cells=10, stretch=0.6, reynolds=(60.0, 150.0), profile=(0.2, 0.7))
FORMS = Forms(PROBLEM)
FREE = PROBLEM.free
RNG = np.random.default_rng(0)


def dense(form):
    return form.value.toarray()


def norms(V):
    V = np.asarray(V)[:, FREE]
    return np.sqrt(np.einsum("ni,ij,nj->n", V, dense(FORMS.X), V))


def fields_near(P, U):
    """Good, awful, rough, smooth, changed by one ulp, another input's, zero, the truth itself."""
    rough, smooth = RNG.standard_normal(U.shape) * FREE, np.roll(U, 1, axis=0)
    big = abs(U).max(axis=1, keepdims=True)
    yield U
    yield np.where(FREE, np.nextafter(U, np.inf), U)
    for eps in (1e-8, 1e-5, 1e-3, 1e-2, 0.3, 10.0):
        yield U + eps * big * rough
        yield U * (1 + eps)
        yield U + eps * (smooth - U)
    yield 0 * U
