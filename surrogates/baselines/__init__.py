"""The dull baselines that a network has to beat."""
