"""Changes of expression by perturbations that are not in the training data.

    python benchmarks/perturbation.py [--screens papalexi norman kang] [--seeds 0 1 2]
        [--methods NAME ...] [--embeddings TABLE.csv | --model FOLDER] [--json PATH]
    python benchmarks/perturbation.py --h5ad FILE [--key COLUMN] [--gene-sets GMT]

Training and test have disjoint halves of the control cells, drawn again for each seed (Kang, where
whole cell types are out, needs none); perturbed genes are not scored. ``--h5ad`` reads any file of
GEARS or scPerturb, with GEARS' simulation split, and prints the correlation of raw expression beside
that of the control itself. What the file of results holds already is kept: a run can go on.

- *no change*, *mean* of training perturbations, *additive*, *matching mean* (Systema);
- *linear*: G-W-P of Ahlmann-Eltze et al., with the perturbed genes among those measured, and
  *linear, embedding* with embeddings of perturbed genes;
- *gene sets, kernel ridge*, *gene sets, 1 / 3 neighbors*: of shared GO terms;
- *embedding ridge*: the same embeddings in ridge; *other groups*: other cell types' mean change;
- *scmomer*: :class:`scmomer.PerturbationModel`, its method chosen by validation within training;
- *permuted targets*: kernel ridge whose training perturbations have each other's names.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scvi
from _measure import machine, versions
from _perturbation_data import SCREENS, ScreenPart, any_file
from _perturbation_report import Report, Rows, averaged, packed, summarize, unpacked
from _report import write_report
from _sources import DATA
from anndata import AnnData

import scmomer
from scmomer.tasks import perturbation as tasks
from scmomer.tasks.genes import read_gene_sets
from scmomer.tasks.perturbation import Effects, ScreenSplit


class Query(NamedTuple):
    """What is to be predicted."""

    parts: list[tuple[str, ...]]
    groups: list[str]
    seed: int
    controls: AnnData
    """Counts of control cells of these groups: of training's half, where there are halves."""
    groupby: str | None
    """Column of `controls` with groups."""


#: Of training changes and a query: changes, ``(n, n_genes)``.
Method = Callable[[Effects, Query], np.ndarray]
#: Rows of the model: its options.
MODELS: dict[str, dict[str, Any]] = {"scmomer": {"network": False}}
#: Metrics that are written, of those of :func:`scmomer.metrics.perturbation`.
KEPT = (
    *("pearson", "pearson_top20", "pearson_top100", "mse_top20", "weighted_mse"),
    *("direction_top20", "centroid", "pearson_permuted", "pearson_systema"),
    *("ceiling", "ceiling_top20"),
)


def naive_methods(
    gene_sets: Mapping[str, Sequence[str]] | None, embeddings: pd.DataFrame | None
) -> dict[str, Method]:
    """Return simple predictions by name, as far as what they need is given."""
    found: dict[str, Method] = {
        "no change": lambda t, q: tasks.no_change(t, q.parts, q.groups),
        "mean": lambda t, q: tasks.training_mean(t, q.parts, q.groups),
        "additive": lambda t, q: tasks.additive(t, q.parts, q.groups),
        "matching mean": lambda t, q: tasks.matching_mean(t, q.parts, q.groups),
        "other groups": lambda t, q: tasks.other_groups(t, q.parts, q.groups),
        "linear": lambda t, q: tasks.linear_gwp(t, q.parts, q.groups),
    }
    if gene_sets is not None:
        sets = gene_sets

        def permuted(t: Effects, q: Query) -> np.ndarray:
            order = np.random.default_rng(q.seed).permutation(len(t))
            names = tuple(t.parts[i] for i in order)
            mixed = Effects(t.table, names, t.perturbed, t.control, t.variance, t.genes)
            return tasks.gene_set_kernel_ridge(mixed, q.parts, q.groups, gene_sets=sets)

        found |= {
            "gene sets, kernel ridge": lambda t, q: tasks.gene_set_kernel_ridge(
                t, q.parts, q.groups, gene_sets=sets
            ),
            "gene sets, 1 neighbor": lambda t, q: tasks.gene_set_neighbors(
                t, q.parts, q.groups, gene_sets=sets, k=1
            ),
            "gene sets, 3 neighbors": lambda t, q: tasks.gene_set_neighbors(
                t, q.parts, q.groups, gene_sets=sets
            ),
            "permuted targets": permuted,
        }
    if embeddings is not None:
        table = embeddings
        found |= {
            "linear, embedding": lambda t, q: tasks.linear_gwp(
                t, q.parts, q.groups, embeddings=table
            ),
            "embedding ridge": lambda t, q: tasks.embedding_ridge(
                t, q.parts, q.groups, embeddings=table
            ),
        }
    return found


def applies(name: str, part: ScreenPart) -> bool:
    """Return whether a method has a meaning for a screen."""
    grouped = len(set(part.cells.groups)) > 1
    if name in ("no change", "mean", *MODELS):
        return True
    return (
        name == "other groups" if not part.genes_perturbed else (name != "other groups" or grouped)
    )


def score_part(part: ScreenPart, seed: int, methods: Mapping[str, Method]) -> Rows:
    """Score methods on one way of holding out, with the controls of one seed."""
    cells = part.cells
    train, test = (
        cells.effects(control_half=half if part.disjoint else None, random_state=seed)
        for half in (0, 1)
    )
    halves = tuple(
        cells.effects(control_half=half, perturbed_half=half, random_state=seed + 1000)
        for half in (0, 1)
    )
    _check_rows(train, test, *halves)
    own = tasks.own_genes(test.parts, test.genes) if part.genes_perturbed else None
    splits = list(part.splits(test.parts, test.groups, seed))
    rows = np.concatenate([split.test for split in splits])
    groups = [g for split in splits for g in tasks.split_groups(test.parts, split)]
    measured = test.rows(rows)
    reference = np.concatenate(
        [np.repeat(_reference(train, s.train)[None], len(s.test), 0) for s in splits]
    )
    queries = [_query(part, test, split, seed) for split in splits]
    found: Rows = []
    for name, method in methods.items():
        predicted = np.concatenate(
            [method(train.rows(s.train), q) for s, q in zip(splits, queries, strict=True)]
        )
        table = scmomer.metrics.perturbation(
            predicted,
            measured.perturbed,
            measured.control,
            targets=None if own is None else own[rows],
            names=measured.table["perturbation"],
            reference=reference,
            variance=measured.variance,
            halves=tuple(half.rows(rows).change for half in halves),  # type: ignore[arg-type]
        )
        # Metrics follow each other, each with all rows.
        values = table["value"].to_numpy().reshape(-1, len(rows)).T
        wide = pd.DataFrame(values, columns=table["metric"].unique())
        wide = wide[[c for c in KEPT if c in wide]].copy()
        wide["raw_pearson"] = _raw(predicted, measured)
        head = measured.table[["perturbation", "group"]].assign(
            part=part.name, method=name, n_seeds=1, split_group=groups
        )
        found += pd.concat([head, wide], axis=1).to_dict("records")
    return found


def _query(part: ScreenPart, test: Effects, split: ScreenSplit, seed: int) -> Query:
    """Return what a split asks for."""
    groups = [test.groups[i] for i in split.test]
    cells = part.cells
    chosen = cells.is_control & np.isin(cells.groups, groups)
    if part.disjoint:
        chosen &= cells.halves(seed) == 0
    parts = [test.parts[i] for i in split.test]
    return Query(parts, groups, seed, part.adata[cells.positions[chosen]], part.groupby)


def _reference(train: Effects, rows: np.ndarray) -> np.ndarray:
    return train.perturbed[rows].mean(axis=0)


def _raw(predicted: np.ndarray, measured: Effects) -> np.ndarray:
    """Return the correlation of predicted and measured expression, the paper's score."""
    profile = predicted + measured.control
    each = zip(profile, measured.perturbed, strict=True)
    return np.array([np.corrcoef(p, m)[0, 1] for p, m in each])


def _check_rows(*effects: Effects) -> None:
    """All halves must have the same rows."""
    first = effects[0].table[["perturbation", "group"]]
    if not all(first.equals(e.table[["perturbation", "group"]]) for e in effects):
        raise SystemExit("Expected cells of all perturbations in both halves. Raise --min-cells.")


def run(
    parts: Sequence[ScreenPart],
    seeds: Sequence[int],
    methods: Mapping[str, Method],
    *,
    known: Report | None = None,
    done: Callable[[Report], object] = lambda _: None,
) -> Report:
    """Score methods on parts, and call `done` with the report after each part and seed.

    Returns
    -------
    dict
        ``"rows"``, one for each part, method and test perturbation, means over seeds; ``"seeds"``,
        those in them, by part and method; ``"strata"``; ``"summary"`` and ``"differences"``.
    """
    report: Report = {"rows": [], "seeds": {}, "strata": {}} if known is None else known
    report["strata"] |= {p.name: {k: list(v) for k, v in p.strata.items()} for p in parts}
    for part in parts:
        there = report["seeds"].setdefault(part.name, {})
        for seed in seeds:
            left = {
                name: method
                for name, method in methods.items()
                if applies(name, part) and seed not in there.get(name, [])
            }
            if left:
                report["rows"] = averaged(report["rows"] + score_part(part, seed, left))
                for name in left:
                    there[name] = [*there.get(name, []), seed]
            means, differences = summarize(report["rows"], report["strata"], [*MODELS])
            report |= {"summary": means, "differences": differences}
            done(report)
        show(report["summary"], part.name)
    return report


def show(summary: Rows, part: str) -> None:
    """Print the means of a part."""
    table = pd.DataFrame([row for row in summary if row["part"] == part])
    columns = ["pearson", "pearson_top20", "mse_top20", "centroid", "pearson_systema"]
    columns += ["pearson_minus_mean", "pearson_minus_mean_se", "ceiling", "raw_pearson"]
    print(part)
    kept = [c for c in columns if c in table]
    print(table.set_index(["stratum", "method"])[kept].round(3).to_string(), flush=True)


def model_methods(
    gene_sets: Mapping[str, Sequence[str]] | None,
    embeddings: pd.DataFrame | None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Method]:
    """Return trained models by name, for each set of options of :class:`PerturbationModel`.

    A model is fitted on the training changes alone, and may read control cells of the query.
    """
    if not hasattr(scmomer, "PerturbationModel"):
        return {}

    def method(more: Mapping[str, Any]) -> Method:
        def predict(train: Effects, query: Query) -> np.ndarray:
            scvi.settings.seed = query.seed
            model = scmomer.PerturbationModel(
                gene_sets=gene_sets, gene_embeddings=embeddings, **more
            )
            model.fit(train)
            names = ["+".join(parts) for parts in query.parts]
            new = bool(set(query.groups) - set(train.groups))
            cells = {"control_cells": query.controls, "groupby": query.groupby} if new else {}
            found = model.predict(list(dict.fromkeys(names)), **cells)
            rows = pd.MultiIndex.from_frame(found.obs[["perturbation", "group"]].astype(str))
            at = rows.get_indexer(list(zip(names, query.groups, strict=True)))
            return np.asarray(found.layers["change"])[at]

        return predict

    return {name: method(more) for name, more in (options or MODELS).items()}


def read_embeddings(args: argparse.Namespace) -> pd.DataFrame | None:
    """Return embeddings of genes, genes x dimensions, from a table or a model."""
    if args.embeddings is not None:
        return pd.read_csv(args.embeddings, index_col=0)
    if args.model is None:
        return None
    genes = scmomer.load(args.model).get_gene_embeddings(source="table")
    return pd.DataFrame(np.asarray(genes.X), genes.obs_names)


def coverage(part: ScreenPart, gene_sets: Any, embeddings: pd.DataFrame | None) -> dict[str, Any]:
    """Return of how many perturbed genes something is known."""
    genes = sorted({gene for p in part.cells.parts.values() for gene in p})
    named = [*dict.fromkeys(g for some in (gene_sets or {}).values() for g in some)]
    tables = {"measured": part.cells.genes, "gene sets": named}
    if embeddings is not None:
        tables["embedding"] = list(embeddings.index)
    found = {name: int((tasks.find_genes(genes, t) >= 0).sum()) for name, t in tables.items()}
    return {"part": part.name, "perturbed genes": len(genes), **found}


def main(argv: list[str] | None = None) -> None:
    """Run, and write after each part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--screens", nargs="+", default=list(SCREENS), choices=list(SCREENS))
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the screens")
    parser.add_argument("--h5ad", type=Path, help="another screen, in place of these")
    parser.add_argument("--key", help="its column of perturbations")
    parser.add_argument("--min-cells", type=int, default=4, help="of a perturbation in --h5ad")
    parser.add_argument("--gene-sets", type=Path, help="GMT file; by default GO terms of --data")
    parser.add_argument("--embeddings", type=Path, help="CSV, genes x dimensions")
    parser.add_argument("--model", type=Path, help="trained model with embeddings of genes")
    parser.add_argument("--methods", nargs="+", help="by default all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/perturbation.json"))
    args = parser.parse_args(argv)
    path = args.gene_sets or args.data / "genes" / "go_bp.gmt.gz"
    gene_sets = read_gene_sets(path, "--gene-sets") if path.exists() else None
    embeddings = read_embeddings(args)
    methods = {**naive_methods(gene_sets, embeddings), **model_methods(gene_sets, embeddings)}
    if args.methods:
        methods = {name: methods[name] for name in args.methods}
    if args.h5ad is not None:
        parts = list(any_file(args.h5ad, args.key, args.min_cells))
    else:
        parts = [part for name in args.screens for part in SCREENS[name](args.data)]
    head = {
        "command": " ".join(["python", *sys.argv]),
        "machine": machine("cpu"),
        "versions": versions("scmomer", "torch", "scikit-learn"),
    }
    known, covered = None, {}
    if args.json.exists():
        old = json.loads(args.json.read_text())
        known = {"rows": unpacked(old), "seeds": old["seeds"], "strata": old["strata"]}
        covered = {row["part"]: row for row in old["coverage"]}
    covered |= {p.name: coverage(p, gene_sets, embeddings) for p in parts if p.genes_perturbed}
    head["coverage"] = list(covered.values())
    args.json.parent.mkdir(parents=True, exist_ok=True)
    run(
        parts,
        args.seeds,
        methods,
        known=known,
        done=lambda found: write_report(args.json, packed({**head, **found})),
    )


if __name__ == "__main__":
    main()
