"""Pseudo-pairs of cells that were not measured together."""
