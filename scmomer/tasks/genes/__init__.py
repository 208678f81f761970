"""Genes: what a trained network makes of them."""
