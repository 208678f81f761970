"""Simple predictions of the change by a perturbation, for comparison."""
