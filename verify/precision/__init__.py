"""What a surrogate's answers become in other arithmetic: fewer digits, perturbed rounding, sums in another order."""
