"""Tools: one verb per file."""

from scmomer.tl._embed import embed
from scmomer.tl._translate import translate_atac, translate_rna

__all__ = ["embed", "translate_atac", "translate_rna"]
