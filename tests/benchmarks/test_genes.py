"""Gene tasks, other embeddings of genes, summaries, and a run on a few cells."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scripts():
    """The benchmark and its shared files as modules."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import _gene_tables
        import _gene_tasks
        import genes

        yield SimpleNamespace(tables=_gene_tables, tasks=_gene_tasks, genes=genes)
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def terms(scripts, tmp_path, monkeypatch):
    """Two fixed terms; genes 0 to 19, 20 to 39, ... are in 1 to 20 others."""
    names = [f"g{i}" for i in range(100)]
    rows = {
        t: names[60:80] if k == 0 else names[20:50] for k, t in enumerate(scripts.tasks.TERMS[:2])
    }
    rows |= {f"other{k}": [g for i, g in enumerate(names) if i % 20 >= k] for k in range(20)}
    path = tmp_path / "terms.gmt.gz"
    with gzip.open(path, "wt") as file:
        for term, members in rows.items():
            print(term, f"{term} ({len(members)})", *members, sep="\t", file=file)
    monkeypatch.setattr(scripts.tasks, "GMT", path)
    monkeypatch.setattr(scripts.tasks, "TERMS", scripts.tasks.TERMS[:2])
    return rows


def test_negatives_are_in_as_many_terms(scripts, terms):
    found = scripts.tasks.matched_terms(pd.Index([f"g{i}" for i in range(100)]), seed=0)
    for term, labels in found.items():
        assert {*labels.index[labels]} == {*terms[term]}
        assert not {*labels.index[~labels]} & {*terms[term]}
        n = pd.Series([g for t, m in terms.items() if t != term for g in m]).value_counts()
        inside, outside = (
            n.reindex(labels.index[labels == side]).fillna(0) for side in (True, False)
        )
        assert abs(inside.mean() - outside.mean()) < 3 and len(outside)
    again = scripts.tasks.matched_terms(pd.Index([f"g{i}" for i in range(100)]), seed=0)
    assert all(found[t].equals(again[t]) for t in found)


def test_embeddings_are_read_from_tables(scripts, tmp_path):
    frame = pd.DataFrame(np.arange(6.0).reshape(3, 2), index=["A", "B", "C"])
    frame.to_csv(tmp_path / "a.csv")
    frame.to_csv(tmp_path / "a.tsv", sep="\t")
    lines = ["3 2", *(f"{g} {a} {b}" for g, (a, b) in zip("ABC", frame.to_numpy(), strict=True))]
    (tmp_path / "a.txt").write_text("\n".join(lines) + "\n")
    for name in ("a.csv", "a.tsv", "a.txt"):
        found = scripts.tasks.read_embedding(tmp_path / name)
        assert list(found.index) == ["A", "B", "C"]
        assert np.array_equal(found.to_numpy(), frame.to_numpy())


def test_other_embeddings_find_programs(scripts):
    rng = np.random.default_rng(0)
    kind = np.arange(600) % 3
    rate = np.full((3, 90), 0.5)
    for k in range(3):
        rate[k, 30 * k : 30 * k + 30] = 3
    counts = sp.csr_matrix(rng.poisson(rate[kind]).astype(np.float32))
    found = scripts.tasks.other_embeddings(counts, pd.Index([f"g{i}" for i in range(90)]))
    assert len(found) == 4
    for name, table in found.items():
        x = table.to_numpy() - table.to_numpy().mean(0)
        similar = np.corrcoef(x[:, :3] if "PCA" in name else x)
        same = np.arange(90)[:, None] // 30 == np.arange(90) // 30
        assert similar[same].mean() > similar[~same].mean() + 0.3, name


def test_means_over_tasks_and_their_errors(scripts):
    rows = [
        {"task": task, "features": f, "metric": "auroc", "protocol": "plain", "seed": seed,
         "mean": 0.6 + shift + 0.1 * (task == scripts.genes.TERMS[0]), "se": 0.05,
         "difference": np.nan if f == "embedding" else -shift, "difference_se": 0.02}
        for task in (*scripts.genes.TERMS[:2], "a class")
        for f, shift in (("embedding", 0.0), ("PCA", -0.1))
        for seed in (0, 1)
    ]  # fmt: skip
    found = scripts.genes.summarize(pd.DataFrame(rows), "plain")
    assert found.loc[("20 GO terms", "embedding"), "mean"] == pytest.approx(0.65)
    assert found.loc[("20 GO terms", "embedding"), "se"] == pytest.approx(0.05)
    assert found.loc[("20 GO terms", "PCA"), "difference"] == pytest.approx(0.1)
    assert found.loc[("20 GO terms", "PCA"), "difference_se"] == pytest.approx(0, abs=1e-9)
    assert found.loc[("a class", "PCA"), "se"] == 0.05  # that of its folds
    header, *table = scripts.tables.scored(
        scripts.tables.nested(found), {"20 GO terms": "terms", "a class": "class"}
    )
    assert header == [" ", "terms", "class"]
    assert table[0] == ["embedding", "**0.650 ± 0.050**", "**0.600 ± 0.050**"]


@pytest.mark.benchmarks
def test_speed_on_a_few_cells(tmp_path):
    path = tmp_path / "genes.json"
    command = [sys.executable, BENCHMARKS / "genes.py", "--parts", "speed", "--max-cells", "200"]
    subprocess.run([*command, "--json", path], check=True, stdout=subprocess.DEVNULL)
    (row,) = json.loads(path.read_text())["parts"]["speed"]["rows"]
    assert row["cells"] == 200 and row["seconds"] > 0


def test_labels_from_a_file(scripts, tmp_path):
    """Long- and short-range transcription factors, made up."""
    names = [f"TF{i}" for i in range(40)]
    path = tmp_path / "range.csv"
    labels = pd.DataFrame({"gene": names, "label": ["long", "short"] * 20})
    labels.to_csv(path, index=False)
    found = scripts.tasks.read_labels(path)
    assert list(found.index) == names and set(found) == {"long", "short"}
    rng = np.random.default_rng(0)
    vectors = pd.DataFrame(rng.normal(size=(40, 4)), index=names)
    vectors[0] += 3 * (found == "long")
    scores = scripts.genes.tl.gene_property(vectors, {"range": found}, repeats=1).table
    auroc = scores[scores["metric"] == "auroc"].set_index("features")["mean"]
    assert auroc["embedding"] > 0.85 > auroc["random"]
    args = scripts.genes.parse(["--labels", f"long against short={path}"])
    assert args.labels == [f"long against short={path}"]
