"""What embeddings of genes tell: properties, interactions, variability, links to peaks."""

from scmomer.tasks.genes._variability import combine, equal_cells, variability

__all__ = ["combine", "equal_cells", "variability"]
