"""Models from published checkpoints of scBERT and scMomer, read without unpickling."""

from scmomer.pretrained._scbert import load_scbert
from scmomer.pretrained._scmomer import load_scmomer
from scmomer.pretrained._vocabulary import panglao_genes

__all__ = ["load_scbert", "load_scmomer", "panglao_genes"]
