"""Small data sets with and without a pretrained model: draws, scores, the simulated atlas."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import scvi
from anndata import AnnData

import scmomer
from scmomer.datasets import synthetic

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scripts():
    """The benchmark and its shared files as modules."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import _simulated_atlas
        import _targets
        import transfer

        yield SimpleNamespace(atlas=_simulated_atlas, targets=_targets, transfer=transfer)
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def cells():
    """Labeled cells of two modalities."""
    mdata = synthetic(150, 60, 120)
    mdata.obs["label"] = mdata.obs["cell_type"].astype(str)
    return mdata


def test_drawn_and_test_cells_are_disjoint(scripts, cells):
    draws = list(scripts.transfer.draws(cells, [20, 50, 1000], seed=1))
    assert [n for n, _, _ in draws] == [20, 50]  # there are not 1,000
    for n, known, test in draws:
        assert known.n_obs == n and test.n_obs == 60
        assert not set(known.obs_names) & set(test.obs_names)
    assert len({tuple(test.obs_names) for _, _, test in draws}) == 1
    again = list(scripts.transfer.draws(cells, [20], seed=1))[0][1]
    assert list(again.obs_names) == list(draws[0][1].obs_names)


def test_types_of_one_cell(scripts):
    labels = np.array(["a", "b", "a", "c", "c"])
    assert scripts.transfer.several(labels).tolist() == [True, False, True, True, True]


def test_every_method_is_scored(scripts, cells, tmp_path, monkeypatch):
    monkeypatch.setattr(scvi.settings, "seed", 0)
    (_, known, test), *_ = scripts.transfer.draws(cells, [60], seed=0)
    source = known.copy()
    scmomer.pp.setup_mudata(source)
    model = scmomer.SCMOMER(source, n_latent=8, rna_encoder="mlp", atac_encoder="mlp")
    model.train(1, enable_progress_bar=False)
    model.save(tmp_path / "model")
    full = scmomer.SCMOMER.train
    quick = lambda self, **kwargs: full(self, 1, **kwargs)
    monkeypatch.setattr(scmomer.SCMOMER, "train", quick)
    target = scripts.targets.Target("none", lambda: cells, "atac")
    reference = source["rna"].copy()
    found = scripts.transfer.compare(target, known, test, tmp_path / "model", reference, 0)
    every = {"accuracy", "macro_f1", "ami"}
    assert every <= found["components of the pretraining"].keys()
    for name in ("components of the same cells", "zero-shot", "fine-tuned", "from scratch"):
        more = {"annotation", "annotation_f1", "auroc_within_depth", "pseudobulk_pearson"}
        assert every | more <= found[name].keys()
        assert all(np.isfinite(v) for v in found[name].values())


def test_summary_is_mean_and_error_over_runs(scripts):
    runs = [
        {"group": "a", "n_cells": n, "methods": {"x": {"accuracy": v}}}
        for n, v in ((50, 0.2), (50, 0.4), (200, 0.9))
    ]
    found = scripts.transfer.summarize(runs)["a"]
    assert found["50"]["runs"] == 2
    assert found["50"]["methods"]["x"]["accuracy"] == pytest.approx([0.3, 0.1])
    assert found["200"]["methods"]["x"]["accuracy"][0] == 0.9


def test_earlier_runs_are_kept(scripts, tmp_path):
    args = Namespace(json=tmp_path / "transfer.json")
    assert scripts.transfer.earlier(args) == []
    run = {"group": "a", "target": "a", "n_cells": 5, "seed": 0, "methods": {"x": {"ami": 0.5}}}
    scripts.transfer.write(args, [run])
    assert scripts.transfer.earlier(args) == [run]


def test_data_sets_of_the_atlas_share_programs_not_types(scripts):
    atlas = scripts.atlas.Atlas(0)
    one, two = (atlas.draw(400, 4, 2, seed, f"d{seed}") for seed in (1, 2))
    assert list(one["rna"].var_names) == list(two["rna"].var_names)
    assert not set(one.obs["cell_type"]) & set(two.obs["cell_type"])
    assert set(one.obs["batch"]) == {"d1-batch0", "d1-batch1"}
    again = atlas.draw(400, 4, 2, 1, "d1")
    assert (again["atac"].X != one["atac"].X).nnz == 0
    for m, depth in (("rna", scripts.atlas.RNA_DEPTH), ("atac", scripts.atlas.ATAC_DEPTH)):
        assert sp.issparse(one[m].X) and (one[m].X.data % 1 == 0).all()
        assert np.asarray(one[m].X.sum(1)).mean() == pytest.approx(depth, rel=0.3)
    # Types differ in both modalities: centroids of one half are nearest to those of the other.
    for m in ("rna", "atac"):
        counts = one[m].X.toarray()
        codes = pd.factorize(one.obs["cell_type"])[0]
        half = np.arange(400) % 2 == 0
        a, b = (
            np.stack([counts[rows & (codes == k)].mean(0) for k in range(4)])
            for rows in (half, ~half)
        )
        assert (np.corrcoef(a, b)[:4, 4:].argmax(1) == np.arange(4)).all()


def test_genes_of_the_human_files_have_names(scripts, monkeypatch, tmp_path):
    adata = AnnData(sp.csr_matrix(np.eye(4, 3, dtype=np.float32)))
    adata.var_names, adata.var["symbol"] = ["E1", "E2", "E3"], ["A", "B", "B"]
    adata.obs["type"] = ["t", "u", "t", "nan"]
    path = tmp_path / "some.h5ad"
    adata.write_h5ad(path)
    source = scripts.targets.Source("some", path, gene_key="symbol", modalities=("rna",))
    monkeypatch.setattr(scripts.targets, "human_rna", lambda: [source])
    found = scripts.targets.rna_of("some", "type")
    assert list(found.var_names) == ["A", "B"] and found.obs["label"].tolist() == ["t", "u", "t"]
