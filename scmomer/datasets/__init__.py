"""Example data: real and bundled, or synthetic with known truth."""

from ._snareseq import snareseq_cortex
from ._synthetic import synthetic

__all__ = ["snareseq_cortex", "synthetic"]
