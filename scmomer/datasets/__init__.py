"""Example data: real and bundled, or synthetic with known truth."""

from scmomer.datasets._snareseq import snareseq_cortex
from scmomer.datasets._synthetic import synthetic

__all__ = ["snareseq_cortex", "synthetic"]
