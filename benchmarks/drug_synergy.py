"""Synergy of pairs of drugs: what structures and profiles tell beside names.

    python benchmarks/drug_synergy.py [--splits given drugs lines] [--seeds 0 1 2]
        [--methods scmomer names graph] [--members 3] [--json PATH]

O'Neil's screen (22,737 unordered pairs in 39 cell lines, 38 drugs), in its five given folds, with
held-out drugs and with held-out lines. A fold is the test once; all else is for training, from which
the model cuts its own validation. Splits other than "given" and controls use the first seed only. What the
file holds already is kept: a run can go on where it was stopped.

- *scmomer*: fingerprints and expression, beside names.
- *permuted cells*, *permuted drugs*: profiles, or structures, of another line or drug.
- *names*: neither structures nor, for new pairs, anything but names of drugs; lines keep profiles.
- *graph*: graph convolutions in place of fingerprints.
- *mean*, *additive*, *pairs*, *interactions*: ridge on one-hot codes of drugs and lines, with drug x
  drug, with drug x line.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from _drug_files import DATA
from _measure import machine, versions
from _report import write_report
from anndata import AnnData

import scmomer

SPLITS = ("given", "drugs", "lines")
METHODS = {"scmomer": "fingerprint", "names": "none", "graph": "graph"}
SCORES = ("pearson", "rmse", "auroc", "average_precision", "coverage", "brier", "weight")
Rows = list[dict[str, Any]]
Report = dict[str, Any]


def read(folder: Path) -> tuple[pd.DataFrame, AnnData, pd.DataFrame]:
    """Return synergies, lines x genes (TPM), and SMILES."""
    lines = pd.read_csv(folder / "synergy_expression_tpm.csv.gz", index_col=0)
    return (
        pd.read_csv(folder / "synergy.csv.gz"),
        AnnData(lines),
        pd.read_csv(folder / "synergy_smiles.csv"),
    )


def run(
    seeds: Sequence[int] = (0, 1, 2),
    *,
    folder: Path | None = None,
    splits: Sequence[str] = SPLITS,
    methods: Sequence[str] = tuple(METHODS),
    known: Rows | None = None,
    done: Callable[[Report], object] = lambda _: None,
    max_lines: int | None = None,
    **options: Any,
) -> Report:
    """Score methods.

    Parameters
    ----------
    seeds
        Seeds of the given folds; controls and other splits have the first alone.
    folder
        Folder of ``synergy.csv.gz``, ``synergy_smiles.csv`` and ``synergy_expression_tpm.csv.gz``.
    splits, methods
        What to run.
    known
        Rows of an earlier run, which are kept and not run again.
    done
        Called with the report after each part.
    max_lines
        Lines to read, for a quick run.
    options
        Of :class:`scmomer.DrugSynergyModel`.

    Returns
    -------
    dict
        ``"rows"``, one for each split, method, fold and seed, and their means as ``"summary"``.
    """
    synergy, cells, drugs = read(DATA if folder is None else folder)
    if max_lines is not None:
        synergy = synergy[synergy["cell_line"].isin(synergy["cell_line"].unique()[:max_lines])]
    rows: Rows = list(known or [])

    def add(split: str, seed: int, name: str, fitted: str) -> None:
        def places(some: Rows) -> set[tuple[Any, ...]]:
            return {(r["split"], r["method"], r["seed"]) for r in some}

        method = fitted if name == "scmomer" else name
        if (split, method, seed) in places(rows):
            return
        started = time.perf_counter()
        model = scmomer.DrugSynergyModel(drug_inputs=METHODS[name], **options)
        found = model.evaluate(
            *(synergy, cells, drugs),
            split=split,
            seeds=[seed],
            methods=[fitted],
            profile="normalized",
        )
        if name != "scmomer":
            found = found[found["method"] != "networks"].replace({"method": {fitted: name}})
        # Naive predictions come with every part.
        new = found.to_dict("records")
        rows.extend([r for r in new if not places([r]) & places(rows)])
        print(f"{split}, {method}, seed {seed}: {time.perf_counter() - started:.0f} s")
        print(summarize(rows).loc[split].round(4).to_string(), flush=True)
        done(report(rows))

    first = list(seeds[:1])
    for split in splits:
        for seed in seeds if split == "given" else first:
            add(split, seed, "scmomer", "scmomer")
    for split in splits:
        for name in methods:
            fits = ["permuted cells", "permuted drugs"] if name == "scmomer" else ["scmomer"]
            for fitted in fits:
                add(split, seeds[0], name, fitted)
    return report(rows)


def summarize(rows: Rows) -> pd.DataFrame:
    """Return means over folds, then over seeds, by split and method."""
    table = pd.DataFrame(rows)
    columns = [name for name in SCORES if name in table]
    each = table.groupby(["split", "method", "seed"], sort=False)[columns].mean()
    return each.groupby(level=["split", "method"], sort=False).mean()


def as_nested(table: pd.DataFrame) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return a summary as dictionaries, with None for what a method does not have."""
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for (split, method), row in table.iterrows():
        values = {k: float(v) if v == v else None for k, v in row.items()}
        found.setdefault(str(split), {})[str(method)] = values
    return found


def report(rows: Rows) -> Report:
    """Return rows and their summary, with None for what a method does not have."""
    each = [{k: v if v == v else None for k, v in row.items()} for row in rows]
    return {"summary": as_nested(summarize(rows)), "rows": each}


def main(argv: list[str] | None = None) -> None:
    """Run, and write after each part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--splits", nargs="+", default=list(SPLITS), choices=SPLITS)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), help="controls to fit")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--max-lines", type=int, help="for a quick run")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/drug_synergy.json"))
    args = parser.parse_args(argv)
    head = {
        "command": "python benchmarks/drug_synergy.py",
        "machine": machine("cpu"),
        "versions": versions("scmomer", "torch", "scikit-learn", "rdkit"),
        "seeds": args.seeds,
    }

    known = json.loads(args.json.read_text())["rows"] if args.json.exists() else []
    run(
        args.seeds,
        known=[{k: math.nan if v is None else v for k, v in row.items()} for row in known],
        splits=args.splits,
        methods=args.methods,
        done=lambda found: write_report(args.json, {**head, **found}),
        max_lines=args.max_lines,
        n_members=args.members,
        max_epochs=args.epochs,
    )


if __name__ == "__main__":
    main()
