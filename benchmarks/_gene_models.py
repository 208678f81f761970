"""Models and cells of ``genes.py``."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import anndata as ad
import pandas as pd
import pretrain
from _corpus import make_corpus, make_shard, survey_files
from _sources import human_rna
from _vocabulary import Rule
from anndata import AnnData

import scmomer

MIN_CELLS = 10  # that express a gene
TABLE = "scMomer, table"


def corpus_cells(args: Namespace) -> AnnData:
    """Return the RNA of the corpus on which models are pretrained."""
    if args.cells is not None:
        return ad.read_h5ad(args.cells)
    path = args.models / "human_genes_rna.h5ad"
    if not path.exists():
        args.models.mkdir(parents=True, exist_ok=True)
        shard = make_shard(make_corpus(survey_files(human_rna()), Rule(1, 10)), 20_000, 0, 0)
        AnnData(shard.X, obs=shard.obs[[]], var=shard.var[[]]).write_h5ad(path)
    return ad.read_h5ad(path)


def pretrained(args: Namespace, seed: int) -> scmomer.SCMOMER:
    """Return the model of a seed, trained if it is not there."""
    if args.model is not None:
        return scmomer.load(args.model)
    path = args.models / f"human_genes_{seed}.scmomer"
    if not path.exists():
        options = ["--corpus", "human_rna", "--rounds", "1", "--seed", str(seed)]
        pretrain.main([*options, "--out", str(path)])
    return scmomer.load(path)


def embeddings(
    model: scmomer.SCMOMER, cells: AnnData, others: dict[str, pd.DataFrame]
) -> tuple[AnnData, dict[str, Any]]:
    """Return contextual embeddings of genes in enough cells, and all others by name."""
    genes = model.get_gene_embeddings(cells)
    genes = genes[genes.obs["n_cells"] >= MIN_CELLS].copy()
    table = model.get_gene_embeddings(source="table")[genes.obs_names].copy()
    return genes, {TABLE: table, **others}
