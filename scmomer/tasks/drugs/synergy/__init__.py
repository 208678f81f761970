"""Synergy of two drugs in cell lines."""
