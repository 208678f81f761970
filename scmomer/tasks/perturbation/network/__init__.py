"""A network in the manner of GEARS, without a graph object for each cell."""
