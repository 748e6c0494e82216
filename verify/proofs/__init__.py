"""One theorem a file, and ``prover.py``, the one door to them.

``proof.py`` is what every proof answers, ``bounds.py`` what with. ``field_proof.py`` has the shape of theorems that are
JAX code of one row, ``radius.py`` of those among them that are one radius ||u - v||, ``stepping.py`` of those among
these that carry it along time steps. ``coercive.py`` offers ``thomson.py`` for fields, ``primal_dual.py`` for outputs
and ``reduced.py``, with ``coefficients/``, for coefficients; ``sines.py`` is shared by Helmholtz, Bratu, heat and
advection-diffusion. Theorems of several files have a folder: ``cavity/``, ``hyperelastic/``, ``indefinite/``.
``constants.py`` keeps what takes long.
"""
