"""Claims of the debate about neural surrogates, each one experiment, table, picture and verdict by rule."""
