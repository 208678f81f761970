"""Drugs as molecules: SMILES, fingerprints, graphs, graph networks."""
