"""Counts of other genes, peaks or bins."""
