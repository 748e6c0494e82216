"""What problems of one kind have in common: coercive, indefinite, nonlinear, evolution."""
