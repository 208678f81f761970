"""The recipe for many files: common features, draws of cells, shards, resuming."""

from __future__ import annotations

import json
import sys
import weakref
from pathlib import Path
from types import ModuleType, SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import scvi
import torch
from anndata import AnnData
from mudata import MuData

import scmomer
from scmomer.datasets import synthetic

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
N = {"atac": 60, "big": 1600, "paired": 100}
MIN_GENES = ["--min-cells", "1"]


@pytest.fixture(scope="module")
def scripts():
    """The benchmark and its shared files as modules."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import _corpus
        import _sources
        import _vocabulary
        import pretrain

        yield SimpleNamespace(
            corpus=_corpus, sources=_sources, vocabulary=_vocabulary, pretrain=pretrain
        )
    finally:
        sys.path.remove(str(BENCHMARKS))


def shifted(names: pd.Index, by: int) -> list[str]:
    """Move peaks."""
    parts = names.str.extract(r"(.+):(\d+)-(\d+)").to_numpy()
    return [f"{chrom}:{int(start) + by}-{int(end) + by}" for chrom, start, end in parts]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Paired cells, many cells with RNA, cells with other peaks, cells with five genes."""
    path = tmp_path_factory.mktemp("files")
    paired = synthetic(N["paired"], 120, 200)
    MuData({"rna": paired["rna"][:, :90].copy(), "atac": paired["atac"]}).write_h5mu(
        path / "paired.h5mu"
    )
    rna = synthetic(N["big"], 120, 20, seed=1)["rna"]
    rna.obs["donor"] = np.where(np.arange(rna.n_obs) < 20, "few", "many")
    rna[:, 30:].copy().write_h5ad(path / "big.h5ad")
    rna[:50, :5].copy().write_h5ad(path / "tiny.h5ad")
    atac = synthetic(N["atac"], 120, 200)["atac"]
    atac.var_names = shifted(atac.var_names, 10)
    atac.write_h5ad(path / "atac.h5ad")
    return path


@pytest.fixture
def corpus(scripts, folder):
    """The corpus of all files."""
    surveys = scripts.corpus.survey_files(scripts.sources.find_sources([folder]))
    return scripts.corpus.make_corpus(surveys, scripts.vocabulary.Rule(2, 1))


# -- features


@pytest.mark.parametrize(
    ("min_files", "expected"),
    [(1, ["A", "B", "C", "D"]), (2, ["A", "B"]), (3, ["A"]), (9, ["A"])],
)
def test_genes_in_enough_files_are_kept(scripts, min_files, expected):
    files = {"x": "ABC", "y": "ABD", "z": "A"}
    tables = {
        n: pd.DataFrame({"name": [*genes], "cells": 5}, index=[*genes])
        for n, genes in files.items()
    }
    found, shares = scripts.vocabulary.common_genes(tables, scripts.vocabulary.Rule(min_files, 5))
    assert found["name"].tolist() == expected
    assert shares["z"] == pytest.approx(1 / len(expected))
    rare = scripts.vocabulary.common_genes(tables, scripts.vocabulary.Rule(min_files, 11))[0]
    assert rare["name"].tolist() == ["A"]  # fifteen cells; B has ten


def test_one_gene_in_two_spellings_is_one(scripts):
    source = scripts.sources.Source("x", Path("x.h5ad"))
    names = ["Gad1", "GAD1", "ENSG00000000003.1", ""]
    part = AnnData(
        sp.csr_matrix(np.eye(4, dtype=np.float32)), var=pd.DataFrame({"name": names}, [*"abcd"])
    )
    table = scripts.vocabulary.survey(source, {"rna": part}).features["rna"]
    assert table.index.tolist() == ["GAD1", "ENSG00000000003"]
    assert table["cells"].tolist() == [2, 1]


def test_peaks_do_not_overlap_and_follow_the_rule(scripts):
    def table(*names: str) -> pd.DataFrame:
        return pd.DataFrame({"name": names, "cells": 1}, index=names)

    files = {
        "small": table("1:250-350", "1:900-950"),
        "large": table("chr1:100-200", "chr1:300-400", "chr2:100-200", "chr2:150-250"),
    }
    choose = scripts.vocabulary.common_peaks
    union, shares = choose(files, scripts.vocabulary.Rule(1))
    assert union["name"].tolist() == ["chr1:100-200", "chr1:300-400", "1:900-950", "chr2:100-200"]
    assert shares == {"small": 0.5, "large": 0.75}
    spans = scripts.vocabulary._spans(files)
    one, other = spans["large"], spans["small"]
    assert scripts.vocabulary._any_overlap(one, other).tolist() == [False, True, False, False]
    assert choose(files, scripts.vocabulary.Rule(2))[0]["name"].tolist() == ["chr1:300-400"]


def test_files_that_share_little_are_left_out(corpus):
    assert {s.source.name for s in corpus.surveys} == set(N)
    assert corpus.dropped == {"tiny, rna": "shared 7.7% of 65 common genes"}
    assert corpus.features["rna"].tolist() == [f"Gene{i:04d}" for i in range(31, 91)]
    assert corpus.n_cells == N
    assert corpus.kept == {"atac": ("atac",), "big": ("rna",), "paired": ("rna", "atac")}


# -- draws


def test_draws_go_by_the_square_root(scripts):
    drawn = scripts.corpus.sizes({"a": 100, "b": 10_000, "c": 1_000_000}, 1110)
    assert drawn == {"a": 10, "b": 100, "c": 1000}
    drawn = scripts.corpus.sizes({"a": 100, "b": 10_000, "c": 1_000_000}, 11_100)
    assert drawn["a"] == 100 and sum(drawn.values()) == 11_100  # others give what a lacks
    assert scripts.corpus.sizes({"a": 3, "b": 5}, 100) == {"a": 3, "b": 5}
    assert scripts.corpus.sizes({"a": 5, "b": 10**6}, 9) == {"a": 2, "b": 9}  # few, not none


def test_each_cell_is_drawn_before_any_is_drawn_again(scripts):
    own = np.repeat(["x", "y"], [30, 120])
    rounds = [scripts.corpus.draw_rows(own, 30, r, 0, "file") for r in range(6)]
    assert all(len(np.unique(rows)) == len(rows) for rows in rounds)
    assert all({*own[rows]} == {"x", "y"} and np.sum(own[rows] == "x") == 10 for rows in rounds)
    times = np.bincount(np.concatenate(rounds), minlength=150)
    assert (times[:30] == 2).all() and (times[30:] == 1).all()
    again = scripts.corpus.draw_rows(own, 30, 3, 0, "file")
    assert np.array_equal(again, rounds[3])
    other = scripts.corpus.draw_rows(own, 30, 3, 1, "file")
    assert not np.array_equal(other, rounds[3])


# -- shards


def test_a_shard_is_a_mosaic_of_all_files(scripts, corpus, folder):
    shard = scripts.corpus.make_shard(corpus, 300, 0, seed=0)
    n = scripts.corpus.sizes(N, 300)
    assert shard.obs["batch"].value_counts().to_dict() == n
    assert shard["rna"].n_obs == n["big"] + n["paired"]
    assert shard["atac"].n_obs == n["atac"] + n["paired"]
    assert n["big"] <= 4 * n["paired"]  # of 16 times the cells
    source = ad.read_h5ad(folder / "big.h5ad")
    ours = shard["rna"][(shard["rna"].obs["batch"] == "big").to_numpy()]
    cells, genes = ours.obs_names.str.removeprefix("big:"), corpus.features["rna"]
    assert np.array_equal(ours.X.toarray(), source[cells, genes].X.toarray())
    assert ours.X.dtype == np.float32
    scmomer.pp.setup_mudata(shard, batch_key="batch")


def test_peaks_of_other_borders_are_aligned(scripts, corpus, folder):
    shard = scripts.corpus.make_shard(corpus, 300, 0, seed=0)
    ours = shard["atac"][(shard["atac"].obs["batch"] == "atac").to_numpy()]
    cells = ours.obs_names.str.removeprefix("atac:")
    source = ad.read_h5ad(folder / "atac.h5ad")[cells].copy()
    aligned = scmomer.pp.align_peaks(source, corpus.features["atac"])
    assert np.array_equal(ours.X.toarray(), aligned.X.toarray()) and ours.X.sum() > 0


def test_batches_of_a_file_share_its_cells(scripts, folder):
    sources = scripts.sources.find_sources([folder / "big.h5ad"], "donor")
    rule = scripts.vocabulary.Rule(2, 1)
    corpus = scripts.corpus.make_corpus(scripts.corpus.survey_files(sources), rule)
    shard = scripts.corpus.make_shard(corpus, 110, 0, seed=0)
    assert isinstance(shard, AnnData) and shard.n_vars == 90  # of one file, all genes
    assert shard.obs["batch"].value_counts().to_dict() == {"big:many": 99, "big:few": 11}


@pytest.mark.benchmarks
def test_one_file_is_open_at_a_time(scripts, folder, monkeypatch):
    read, opened = scripts.sources._open, []

    def watched(source):
        assert not any(reference() is not None for reference in opened)
        data = read(source)
        opened.append(weakref.ref(data))
        return data

    monkeypatch.setattr(scripts.sources, "_open", watched)
    surveys = scripts.corpus.survey_files(scripts.sources.find_sources([folder]))
    corpus = scripts.corpus.make_corpus(surveys, scripts.vocabulary.Rule(2, 1))
    assert len(opened) == 4
    scripts.corpus.make_shard(corpus, 300, 0, seed=0)
    assert len(opened) == 7


# -- files


def test_a_table_describes_files(scripts, folder, tmp_path):
    counts = ad.read_h5ad(folder / "big.h5ad")[:100].copy()
    total = np.asarray(counts.X.sum(1)).ravel()
    lognorm = AnnData(sp.csr_matrix(sp.diags(1e4 / total) @ counts.X), obs=counts.obs)
    lognorm.X.data = np.log1p(lognorm.X.data)
    lognorm.var["symbol"], lognorm.var_names = counts.var_names, [f"E{i}" for i in range(90)]
    lognorm.write_h5ad(tmp_path / "lognorm.h5ad")
    table = tmp_path / "files.csv"
    table.write_text(
        "name,path,gene_key,restore,keep,modalities\n"
        "some,lognorm.h5ad,symbol,lognorm,donor=many,rna\n"
    )
    (source,) = scripts.sources.find_sources([table])
    part = scripts.sources.read_source(source)["rna"]
    assert np.array_equal(part.X.toarray(), counts[20:].X.toarray())
    assert part.var["name"].tolist() == counts.var_names.tolist()
    with pytest.raises(SystemExit, match="Expected counts"):
        scripts.sources.read_source(scripts.sources.Source("x", tmp_path / "lognorm.h5ad"))
    table.write_text("name,file\nsome,lognorm.h5ad\n")
    with pytest.raises(SystemExit, match="Expected columns"):
        scripts.sources.find_sources([table])


def test_counts_are_found_in_layers_and_raw(scripts, folder, tmp_path):
    counts = ad.read_h5ad(folder / "tiny.h5ad")
    layered = counts.copy()
    layered.layers["counts"] = layered.X.copy()
    layered.X = layered.X * 0.5
    raw = counts.copy()
    raw.raw = counts
    raw = raw[:, :2].copy()
    raw.X = raw.X * 0.5
    for name, data in {"layered": layered, "raw": raw}.items():
        data.write_h5ad(tmp_path / f"{name}.h5ad")
        source = scripts.sources.Source(name, tmp_path / f"{name}.h5ad")
        found = scripts.sources.read_source(source)["rna"]
        assert np.array_equal(found.X.toarray(), counts.X.toarray())


def test_wrong_lists_of_files_are_errors(scripts, folder, tmp_path):
    rna, atac = folder / "big.h5ad", folder / "atac.h5ad"
    unpaired = scripts.corpus.survey_files(scripts.sources.find_sources([rna, atac]))
    with pytest.raises(SystemExit, match="both RNA and ATAC, found none"):
        scripts.corpus.make_corpus(unpaired, scripts.vocabulary.Rule(2, 1))
    two = [scripts.sources.Source(s, rna, species=s) for s in ("human", "mouse")]
    with pytest.raises(SystemExit, match="one species"):
        scripts.corpus.survey_files(two)
    with pytest.raises(SystemExit, match="'big' twice"):
        scripts.sources.find_sources([rna, rna])
    with pytest.raises(SystemExit, match="found none in"):
        scripts.sources.find_sources([tmp_path])
    with pytest.raises(SystemExit, match=r"--leave-out, found \['y'\]"):
        scripts.pretrain.main([str(folder), "--survey", "--leave-out", "y", "big"])


def test_built_in_corpora_name_their_files(scripts):
    human, mouse = (scripts.sources.CORPORA[n]() for n in ("human_rna", "mouse_cortex"))
    assert {s.species for s in human} == {"human"} and len({s.name for s in human}) == len(human)
    assert [s.name for s in mouse][:2] == ["09A", "09B"] and len(mouse) == 10


# -- rounds


class StandIn:
    """Instead of a model: remembers the cells of all rounds."""

    def __init__(self, seen: list[list[str]]):
        self.seen, self.id = seen, f"after {len(seen)}"

    def save(self, path: Path, overwrite: bool) -> None:
        path.write_text(json.dumps(self.seen))


@pytest.fixture(autouse=True)
def keep_seed(monkeypatch):
    """The script sets it."""
    monkeypatch.setattr(scvi.settings, "_seed", scvi.settings.seed)


@pytest.fixture
def stand_in(scripts, monkeypatch) -> ModuleType:
    """The script with stand-ins instead of models."""

    def train_round(shard, before, number, args):
        return StandIn([*(before.seen if before else []), sorted(shard.obs_names)])

    monkeypatch.setattr(scripts.pretrain, "train_round", train_round)
    monkeypatch.setattr(scmomer, "load", lambda path: StandIn(json.loads(path.read_text())))
    return scripts.pretrain


@pytest.mark.benchmarks
def test_resuming_equals_an_uninterrupted_run(stand_in, folder, tmp_path, monkeypatch):
    options = [str(folder), *MIN_GENES, "--cells-per-round", "200", "--rounds", "3"]
    whole, part = tmp_path / "whole.scmomer", tmp_path / "part.scmomer"
    stand_in.main([*options, "--out", str(whole)])
    train = stand_in.train_round

    def dies(shard, before, number, args):
        if before is not None and len(before.seen) == 2:
            raise KeyboardInterrupt
        return train(shard, before, number, args)

    monkeypatch.setattr(stand_in, "train_round", dies)
    with pytest.raises(KeyboardInterrupt):
        stand_in.main([*options, "--out", str(part)])
    monkeypatch.setattr(stand_in, "train_round", train)
    with pytest.raises(SystemExit, match="--resume"):
        stand_in.main([*options, "--out", str(part)])
    with pytest.raises(SystemExit, match=r"others: \['seed'\]"):
        stand_in.main([*options, "--out", str(part), "--resume", "--seed", "1"])
    stand_in.main([*options, "--out", str(part), "--resume"])
    assert part.read_text() == whole.read_text()
    seen = json.loads(whole.read_text())
    assert len(seen) == 3 and seen[0] != seen[1] != seen[2]
    report = json.loads(part.with_suffix(".json").read_text())
    assert [r["model"] for r in report["rounds"]] == ["after 1", "after 2", "after 3"]
    assert report["features"] == {"rna": 120, "atac": 200}
    assert report["dropped"].keys() == {"tiny, rna"}
    assert sum(f["cells_per_round"] for f in report["files"].values()) == len(seen[0])


@pytest.mark.benchmarks
def test_a_kill_before_the_model_is_written(stand_in, folder, tmp_path, monkeypatch):
    options = [str(folder), *MIN_GENES, "--cells-per-round", "200", "--rounds", "2", "--out"]
    whole, part = tmp_path / "whole.scmomer", tmp_path / "part.scmomer"
    stand_in.main([*options, str(whole)])
    save = StandIn.save

    def dies(self, path, overwrite):
        if len(self.seen) == 2:
            raise KeyboardInterrupt
        save(self, path, overwrite)

    monkeypatch.setattr(StandIn, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        stand_in.main([*options, str(part)])
    monkeypatch.setattr(StandIn, "save", save)
    stand_in.main([*options, str(part), "--resume"])
    assert part.read_text() == whole.read_text()
    assert len(json.loads(part.with_suffix(".json").read_text())["rounds"]) == 2


def test_a_survey_shows_files_and_trains_nothing(stand_in, folder, capsys):
    stand_in.main([str(folder), *MIN_GENES, "--min-files", "2", "--survey"])
    shown = capsys.readouterr().out
    assert "rna: 60 common features" in shown and "left out: tiny, rna" in shown
    assert "features of each file (rows) that another one has" in shown


@pytest.mark.benchmarks
def test_rounds_continue_each_other(scripts, folder, tmp_path):
    options = [str(folder), *MIN_GENES, "--cells-per-round", "200", "--max-epochs", "1"]
    options += ["--alone", "1", "--resume"]
    whole, part = tmp_path / "whole.scmomer", tmp_path / "part.scmomer"
    scripts.pretrain.main([*options, "--rounds", "2", "--out", str(whole)])
    scripts.pretrain.main([*options, "--rounds", "1", "--out", str(part)])
    assert scmomer.load(part).stages_ == ("rna", "atac")
    scripts.pretrain.main([*options, "--rounds", "2", "--out", str(part)])
    one, other = (scmomer.load(path) for path in (whole, part))
    assert one.stages_ == ("rna", "atac", "fusion", "bridge")
    assert sorted(one.spec.batches) == sorted(N)
    weights = other.module.state_dict()
    assert all(torch.equal(w, weights[name]) for name, w in one.module.state_dict().items())
