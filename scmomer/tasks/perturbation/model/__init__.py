"""``PerturbationModel``: changes of expression after perturbations that were never done."""
