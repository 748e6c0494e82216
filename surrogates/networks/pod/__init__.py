"""A perceptron that gives coefficients in a POD basis, its losses, and what it is judged by."""
