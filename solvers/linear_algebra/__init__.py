"""Linear and nonlinear algebra without a PDE in it: Krylov methods, direct and tridiagonal solves, Newton."""
