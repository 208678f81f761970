"""The benchmark of perturbations on a made-up screen."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    """The benchmark as a module."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import perturbation

        yield perturbation
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def file(tmp_path):
    """A screen in GEARS' convention: 8 genes, 6 pairs, additive."""
    rng = np.random.default_rng(0)
    names = [f"G{i}" for i in range(8)]
    pairs = [f"G{i}+G{i + 1}" for i in range(6)]
    change = {name: rng.normal(scale=0.8, size=40) for name in names}
    rows, labels = [], []
    for label in [*(f"{n}+ctrl" for n in names), *pairs, *["ctrl"] * 4]:
        total = sum((change[p] for p in label.split("+") if p in change), np.zeros(40))
        rows.append(rng.poisson(6 * np.exp(total), (12, 40)))
        labels += [label] * 12
    counts = sp.csr_matrix(np.concatenate(rows), dtype=np.float32)
    var = pd.DataFrame(index=[f"G{i}" for i in range(40)])
    obs = pd.DataFrame({"condition": labels}, index=[f"c{i}" for i in range(len(labels))])
    path = tmp_path / "made_up.h5ad"
    AnnData(counts, obs=obs, var=var).write_h5ad(path)
    (tmp_path / "sets.gmt").write_text(
        "".join(f"t{i}\t\t" + "\t".join(names[i : i + 5]) + "\n" for i in range(4))
    )
    table = pd.DataFrame({n: change[n] for n in names}).T.iloc[:, :4]
    table.to_csv(tmp_path / "embedding.csv")
    return path


def test_run_on_a_file(script, file, capsys):
    import _perturbation_report

    path = file.parent / "report.json"
    sets, table = file.parent / "sets.gmt", file.parent / "embedding.csv"
    options = ["--h5ad", str(file), "--gene-sets", str(sets), "--embeddings", str(table)]
    options += ["--json", str(path)]
    script.main([*options, "--seeds", "0", "--methods", "mean", "additive"])
    first = json.loads(path.read_text())
    script.main([*options, "--seeds", "0", "1"])
    report = json.loads(path.read_text())
    rows = pd.DataFrame(script.unpacked(report))
    (part,) = report["scores"]
    assert first["seeds"][part] == {"mean": [0], "additive": [0]}
    assert report["seeds"][part]["mean"] == report["seeds"][part]["scmomer"] == [0, 1]
    assert not rows.duplicated(["method", "perturbation", "split_group"]).any()
    both, alone = (
        pd.DataFrame(found).query("method == 'mean'").set_index(["perturbation", "split_group"])
        for found in (rows, script.unpacked(first))
    )
    kept = both["n_seeds"].reindex(alone.index) == 1  # other seeds have other test rows
    assert np.allclose(
        both["pearson"].reindex(alone.index)[kept], alone["pearson"][kept], atol=1e-3
    )
    naive = {"no change", "mean", "additive", "matching mean", "linear", "linear, embedding"}
    sets = {f"gene sets, {k}" for k in ("kernel ridge", "1 neighbor", "3 neighbors")}
    others = {"embedding ridge", "permuted targets", *script.model_methods(None, None)}
    assert set(rows["method"]) == naive | sets | others
    summary = _perturbation_report.read_table(report, "summary").set_index(["stratum", "method"])
    assert summary.loc[("all", "mean"), "pearson_minus_mean"] == 0
    seen = [name for name in summary.index.get_level_values(0) if name == "combo_seen2"]
    if seen:
        r = summary["pearson"].loc["combo_seen2"]
        assert r["additive"] > r["mean"]
    assert report["coverage"] == [
        {
            "part": "made_up, simulation",
            "perturbed genes": 8,
            "measured": 8,
            "gene sets": 8,
            "embedding": 8,
        }
    ]
    assert "raw_pearson" in capsys.readouterr().out
    found = _perturbation_report.read_table(report, "differences").query("stratum == 'all'")
    found = found.set_index("against")["pearson"]
    assert set(found.index) == set(rows["method"]) - {"scmomer"}
    r = summary["pearson"].loc["all"]
    assert np.allclose(found, r["scmomer"] - r[found.index], atol=2e-3)


def test_averaged_over_seeds(script):
    head = {"part": "p", "method": "m", "perturbation": "A", "group": "", "split_group": "s"}
    rows = [
        {**head, "n_seeds": n, "pearson": r, "centroid": np.nan} for n, r in ((2, 0.3), (1, 0.9))
    ]
    (row,) = script.averaged([*rows])
    assert row["n_seeds"] == 3 and row["pearson"] == pytest.approx(0.5)
    assert np.isnan(row["centroid"])


def test_bootstrap_error(script):
    import _perturbation_report

    error = _perturbation_report.bootstrap_error
    values = np.random.default_rng(0).normal(size=400)
    assert error(values) == pytest.approx(0.05, rel=0.15)
    # Four copies of each value are no more evidence than one.
    assert error(np.repeat(values, 4), np.repeat(np.arange(400), 4)) == pytest.approx(error(values))


def test_groups_out_of_part_of_the_cells(script, file):
    """Cells that are left out for small groups do not shift the controls of a query."""
    import anndata as ad
    from _perturbation_data import ScreenPart

    adata = ad.read_h5ad(file)
    adata = adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()
    adata.obs["replicate"] = np.where(np.arange(adata.n_obs) % 3, "one", "two")
    cells = script.tasks.read_screen_cells(
        adata, perturbation_key="condition", groupby="replicate", min_cells=4
    )
    assert len(cells.names) < adata.n_obs  # some are left out
    part = ScreenPart(
        "r", cells, lambda p, g, s: script.tasks.groups_out(g), adata, "replicate", disjoint=False
    )
    effects = cells.effects()
    for split in part.splits(effects.parts, effects.groups, 0):
        query = script._query(part, effects, split, 0)
        assert set(query.controls.obs["condition"]) == {"ctrl"}
        assert set(query.controls.obs["replicate"]) == set(query.groups)
    methods = script.naive_methods(None, None) | script.model_methods(None, None)
    rows = pd.DataFrame(script.score_part(part, 0, {m: methods[m] for m in ("mean", "scmomer")}))
    assert set(rows["group"]) == {"one", "two"} and np.isfinite(rows["pearson"]).all()


def test_all_screens_if_the_data_are_there(script):
    if not script.DATA.exists():
        pytest.skip("no data")
    parts = [part for read in script.SCREENS.values() for part in read(script.DATA)]
    for part in parts:
        effects = part.cells.effects()
        for split in part.splits(effects.parts, effects.groups, 0):
            assert not set(split.train) & set(split.test)
            key = effects.table[["perturbation", "group"]].agg("|".join, axis=1)
            assert not set(key[split.train]) & set(key[split.test])


def test_tables_are_of_the_results(script):
    import _perturbation_tables

    lines = _perturbation_tables.perturbation("kang").splitlines()
    table = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:] for line in lines}
    model, mean = table["scMomer"], table["training mean"]
    difference, _, error = mean[-1].removesuffix(" |").split()
    r = [float(row[0].strip("*")) for row in (mean, model)]
    assert float(difference) == pytest.approx(r[0] - r[1], abs=2e-3)
    assert float(error) > 0
    assert float(table["*ceiling*"][0]) > max(r)
    for name in _perturbation_tables.TABLES:
        assert "scMomer" in _perturbation_tables.perturbation(name)


def test_the_file_of_results_is_small(script):
    """And can go on: what it has is read as it was written."""
    path = BENCHMARKS / "results" / "perturbation.json"
    report = json.loads(path.read_text())
    assert path.stat().st_size < 300_000
    rows = script.unpacked(report)
    again = script.packed({**report, "rows": rows, "summary": [], "differences": []})
    assert again["scores"] == report["scores"]
