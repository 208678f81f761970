"""Perturbation: what happens to expression, accessibility and protein when genes are perturbed."""
