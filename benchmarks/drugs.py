"""What do models of drugs tell, beside what is simpler?

    python benchmarks/drugs.py [--parts pairs lines drugs embedding speed] [--seeds 0 1 2]
        [--models DIR] [--model PATH] [--json PATH]

Responses are 82,833 ln IC50 of 580 cell lines and 170 drugs (GDSC); expression is 706 z-scored
genes (CCLE). Validation is always cut out of the training part. Scores are those of each drug over
test lines first: most of the variance over all pairs is that of the drugs.

- *pairs*: 5 % of the pairs held out. Soft-impute, which knows no feature, is the one to beat.
- *lines*: five folds of held-out lines; sensitive or resistant by published thresholds.
- *drugs*: 17 folds of ten held-out molecules, the first seed only.
- *embedding*: held-out lines by the embedding of a model trained on human blood and pancreas
  (``pretrain.py``), beside the expression and alone; drugs on chromatin, named here beforehand,
  against the rest.
- *speed*: an epoch over all pairs (of our cell branch, and of the published network), a whole fit.

The constants of the regression on profiles, of similar drugs and of completion were chosen on folds
of seeds 0 to 2 of this table: they were no held-out choice. Many others did as well.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import torch
from _drug_files import EPIGENETIC, cell_lines, response, smiles, thresholds
from _gene_models import pretrained
from _measure import machine, versions
from _report import write_report

import scmomer

PARTS = ("pairs", "lines", "drugs", "embedding", "speed")
Report = dict[str, Any]
METRICS = (
    *("drug_pearson", "drug_pearson_median", "drug_spearman", "rmse", "r2"),
    *("normalized_pearson", "pearson", "coverage", "cell_network", "drug_network"),
    *("drug_auroc", "drug_average_precision", "drug_base_rate", "auroc", "average_precision"),
    "base_rate",
)


def parse(argv: list[str] | None = None) -> Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of models")
    parser.add_argument("--model", type=Path, help="an embedding model to use instead")
    parser.add_argument("--n-folds", type=int, help="for a quick run")
    parser.add_argument("--n-drugs", type=int, help="for a quick run")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/drugs.json"))
    args = parser.parse_args(argv)
    args.cells = None  # of _gene_models.pretrained
    return args


def summarize(table: pd.DataFrame) -> dict[str, dict[str, list[float]]]:
    """Return mean and standard error over seeds of each score; of seeds, folds are averaged."""
    kept = [m for m in METRICS if m in table]
    by_seed = table.groupby(["method", "seed"], sort=False)[kept].mean()
    found: dict[str, dict[str, list[float]]] = {}
    for method, part in by_seed.groupby(level=0, sort=False):
        error = part.std(ddof=1) / np.sqrt(len(part))
        found[str(method)] = {
            m: [float(part[m].mean()), float(error[m])] for m in kept if part[m].notna().any()
        }
    return found


def data(args: Namespace) -> tuple[pd.DataFrame, ad.AnnData, pd.Series]:
    """Return responses, profiles and SMILES; of some drugs for a quick run."""
    table, drugs = response(), smiles()
    if args.n_drugs:
        drugs = drugs.iloc[: args.n_drugs]
        table = table[table["drug"].isin(drugs.index)]
    return table, cell_lines(), drugs


def _shown(name: str, table: pd.DataFrame) -> Report:
    found = summarize(table)
    shown = {m: {k: v[0] for k, v in s.items()} for m, s in found.items()}
    print(name, pd.DataFrame(shown).T.round(3).to_string(), sep="\n")
    sys.stdout.flush()
    return found


# -- parts


def run_pairs(args: Namespace) -> Report:
    """Hold out 5 % of the pairs."""
    model = scmomer.DrugResponseModel()
    common = {"split": "lpo", "test_share": 0.05, "profile": "zscore"}
    table = model.evaluate(*data(args), seeds=args.seeds, **common)
    first = model.evaluate(*data(args), seeds=args.seeds[:1], ablations=["published"], **common)
    published = first[first["method"] == "published network"]
    return _shown("pairs", pd.concat([table, published]))


def run_lines(args: Namespace) -> Report:
    """Hold out lines."""
    table = scmomer.DrugResponseModel().evaluate(
        *data(args),
        split="lco",
        n_folds=args.n_folds or 5,
        seeds=args.seeds,
        thresholds=thresholds(),
        ablations=["cells permuted"],
        profile="zscore",
    )
    return _shown("lines", table)


def run_drugs(args: Namespace) -> Report:
    """Hold out drugs."""
    table = scmomer.DrugResponseModel().evaluate(
        *data(args),
        split="ldo",
        n_folds=args.n_folds or 17,
        seeds=args.seeds[:1],
        ablations=["drugs permuted"],
        profile="zscore",
    )
    return _shown("drugs", table)


def run_embedding(args: Namespace) -> Report:
    """Read the embedding of lines; compare drugs on chromatin with the rest."""
    rows, per_drug = [], []
    for seed in args.seeds:
        embedding = pretrained(args, seed)
        for inputs in ("expression", "both", "embedding"):
            model = scmomer.DrugResponseModel(
                None if inputs == "expression" else embedding, cell_inputs=inputs
            )
            options = {"split": "lco", "n_folds": args.n_folds or 5, "seeds": [seed]}
            found = model.evaluate(*data(args), **options, profile="zscore", per_drug=True)
            ours = found[found["method"] == "scmomer"].assign(method=inputs)
            per_drug.append(ours)
            rows.append(ours.groupby(["method", "seed", "fold"])[["pearson", "rmse"]].mean())
    table = pd.concat(rows).reset_index().rename(columns={"pearson": "drug_pearson"})
    drugs = pd.concat(per_drug).groupby(["method", "drug"])["pearson"].mean().unstack(0)
    return {
        "summary": _shown("embedding", table),
        "n_genes_shared": int(cell_lines().var_names.isin(embedding.spec.features["rna"]).sum()),
        "epigenetic": epigenetic(drugs["both"] - drugs["expression"], drugs),
    }


def epigenetic(gain: pd.Series, scores: pd.DataFrame, n: int = 10_000) -> Report:
    """Compare the gain of drugs on chromatin with that of the rest, by permutation of drugs."""
    inside = gain.index.isin(EPIGENETIC)
    difference = gain[inside].mean() - gain[~inside].mean()
    generator = np.random.default_rng(0)
    values = gain.to_numpy()
    drawn = np.array(
        [values[generator.permutation(len(values))[: inside.sum()]].mean() for _ in range(n)]
    )
    rest = (values.sum() - drawn * inside.sum()) / max((~inside).sum(), 1)
    return {
        "drugs": gain.index[inside].tolist(),
        "gain": float(gain[inside].mean()),
        "gain of the rest": float(gain[~inside].mean()),
        "p": float((1 + (drawn - rest >= difference).sum()) / (1 + n)),
        "pearson": scores[inside].mean().to_dict(),
    }


def run_speed(args: Namespace) -> Report:
    """Time an epoch over all pairs, of our networks and of the published one, and a whole fit."""
    from scmomer.tasks.drugs import PublishedDrugResponse, molecule_graphs, read_molecules
    from scmomer.tasks.drugs.response import _train

    table, lines, drugs = data(args)
    molecules = read_molecules(drugs)
    graphs = molecule_graphs(list(molecules.smiles))
    cells = torch.as_tensor(lines.X, dtype=torch.float32)
    line = torch.as_tensor(lines.obs_names.get_indexer(table["cell_line"]))
    drug = torch.as_tensor(molecules.names.get_indexer(table["drug"]))
    values = np.full((lines.n_obs, len(molecules)), np.nan)
    values[line, drug] = table["ln_ic50"]
    target = torch.as_tensor((values - np.nanmean(values)) / np.nanstd(values)).float()
    network = PublishedDrugResponse(cells.shape[1])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def published() -> None:
        for batch in torch.randperm(len(line)).split(2048):
            at = line[batch], drug[batch]
            loss = (network(graphs, cells, at[1], at[0]) - target[at]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    model = scmomer.DrugResponseModel()
    found: Report = {"n_pairs": len(table), "threads": torch.get_num_threads()}
    for name, run, n in (
        ("cell branch, epoch", lambda: _train.train_cell_branch(cells, target, 0), _train.N_EPOCHS),
        ("published network, epoch", published, 1),
        ("fit", lambda: model.fit(table, lines, drugs, profile="zscore"), 1),
        ("prediction of all pairs", lambda: model.predict(lines), 1),
    ):
        wall, core = time.perf_counter(), time.process_time()
        run()
        found[name] = {
            "seconds": (time.perf_counter() - wall) / n,
            "core_seconds": (time.process_time() - core) / n,
        }
        print(name, found[name], flush=True)
    return found


def main(argv: list[str] | None = None) -> None:
    """Run the parts that are asked for; others keep what the file holds."""
    args = parse(argv)
    old = json.loads(args.json.read_text()) if args.json.exists() else {}
    report = {k: v for k, v in old.items() if k in PARTS}
    for part in args.parts:
        print(f"== {part}")
        report[part] = globals()[f"run_{part}"](args)
    head = {
        "command": "python benchmarks/drugs.py",
        "seeds": args.seeds,
        "machine": machine("cpu"),
        "versions": versions("scmomer", "torch", "rdkit", "torch-geometric", "scikit-learn"),
        "not run": ["held-out tissues (no tissue is in these files)"],
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    write_report(args.json, {**head, **{p: report[p] for p in PARTS if p in report}})


if __name__ == "__main__":
    main()
