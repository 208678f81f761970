"""Tools: one verb per file."""

from scmomer.tl._annotate import annotate
from scmomer.tl._embed import embed
from scmomer.tl._rank_peaks import rank_peaks
from scmomer.tl._translate import translate_atac, translate_rna

__all__ = ["annotate", "embed", "rank_peaks", "translate_atac", "translate_rna"]
