"""Containers to containers: checking and registering data."""

from scmomer.pp._setup import setup_anndata, setup_mudata

__all__ = ["setup_anndata", "setup_mudata"]
