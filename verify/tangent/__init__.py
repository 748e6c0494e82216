"""The differential structure: a surrogate's input Jacobian beside the solver's tangent."""
