"""Pseudo-pairs of cells that were measured separately."""
