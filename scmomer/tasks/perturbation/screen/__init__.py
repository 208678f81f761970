"""Screens: names of perturbations, pseudobulk changes, splits."""
