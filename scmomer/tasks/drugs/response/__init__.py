"""Response of cell lines, or cells, to drugs."""
