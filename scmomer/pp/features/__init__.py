"""Counts brought onto other genes, peaks or bins."""
