"""Defaults that depend on how deep cells are, one change at a time, on deep and shallow data.

    python benchmarks/deep_defaults.py [--sets NAME ...] [--rows NAME ...] [--seeds 0 1] [--json PATH]

Sorted blood (3,774 cells x 16,791 genes, median 594 genes a cell) and pancreas (350 x 12,474, 1,539):
a model of RNA, trained without labels, then logistic regression and k-means on the frozen embedding
of held-out cells; seeds differ in the split too. CITE-seq (600 x 1,000, 333): protein of a batch
from RNA. Synthetic multiome (1,500 x 1,500, 4,000 peaks, 6,000 counts of each) and SNARE-seq (1,677
genes, 101; 2,500 training cells, 8,000 peaks): translation to ATAC, and the embedding of RNA alone.
SNARE-seq and CITE-seq use only folds on which settings are chosen. The Performer has one layer and
32 dimensions, and where there are two modalities encoders are perceptrons (or the default ones), without further heads.
Every row states all that it changes, whatever the defaults are. The JSON is written after each run;
runs that it already has are not repeated.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import scvi
import torch
from _deep_default_sets import SETS, Options, Scores, median_total
from _measure import machine, versions
from _quality import standard_error
from _report import write_report

DEEP, SHALLOW = "deep default: least spread 0.4", "shallow default: least spread 0.05"
_DEFAULTS: Options = {
    "rna_target_sum": None,
    "rna_scale_genes": True,
    "rna_min_spread": 0.4,
    "rna_n_bins": 5,
    "binning": "quantile",
    "n_latent": 32,
    "bridge_dropout": 0.5,
    "bridge_input_dropout": 0.5,
}
# A target sum below 10 is a multiple of the median count.
ROWS: dict[str, Options] = {
    DEEP: {},
    SHALLOW: {"rna_min_spread": 0.05},
    "least spread 0.2": {"rna_min_spread": 0.2},
    "least spread 0.8": {"rna_min_spread": 0.8},
    "errors of genes not scaled": {"rna_scale_genes": False},
    "target sum 10,000": {"rna_target_sum": 1e4},
    "target sum a quarter of the median": {"rna_target_sum": 0.25},
    "3 quantile bins": {"rna_n_bins": 3},
    "10 quantile bins": {"rna_n_bins": 10},
    "5 log2 bins": {"binning": "log2"},
    "16 dimensions": {"n_latent": 16},
    "64 dimensions": {"n_latent": 64},
    "bridge dropout 0.2": {"bridge_dropout": 0.2},
    "bridge input dropout 0.2": {"bridge_input_dropout": 0.2},
}
_RNA_ALONE = ("sorted blood", "pancreas")
_PERFORMER = (*_RNA_ALONE, "SNARE-seq, default encoders")


def applies(row: str, name: str) -> bool:
    """Return whether a row changes anything on a data set: perceptrons have no bins."""
    if "bins" in row:
        return name in _PERFORMER
    return not (row.startswith("bridge") and name in _RNA_ALONE)


def run(row: str, part: Any, seed: int) -> Scores:
    """Train and score one model."""
    options = {**_DEFAULTS, **ROWS[row]}
    target = options["rna_target_sum"]
    if target is not None and target < 10:
        options["rna_target_sum"] = target * median_total(part.rna)
    scvi.settings.seed = seed
    torch.set_num_threads(1)  # numba, used by scanpy, raises it
    started = time.process_time()
    scores = part.run(options, seed)
    return scores | {"core_seconds": time.process_time() - started}


def summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard error over seeds, by data set and row, and the number of seeds."""
    found: dict[str, Any] = {}
    for name in SETS:
        for row in ROWS:
            mine = [r["scores"] for r in runs if (r["set"], r["row"]) == (name, row)]
            if mine:
                found.setdefault(name, {})[row] = {
                    "n_seeds": len(mine),
                    **{
                        key: [
                            float(np.mean([scores[key] for scores in mine])),
                            standard_error([scores[key] for scores in mine]),
                        ]
                        for key in mine[0]
                    },
                }
    return found


def main() -> None:
    """Run what is not there yet, and write each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=[*SETS])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=[*ROWS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/deep_defaults.json"))
    args = parser.parse_args()
    found = json.loads(args.json.read_text()) if args.json.exists() else {"runs": []}
    runs, command = found["runs"], " ".join(["python", *sys.argv])
    commands = list(dict.fromkeys([*found.get("commands", []), command]))
    done = {(r["set"], r["row"], r["seed"]) for r in runs}
    parts: dict[str, Any] = {}
    for seed in args.seeds:
        for row in args.rows:
            for name in args.sets:
                if not applies(row, name) or (name, row, seed) in done:
                    continue
                if name not in parts:
                    parts[name] = SETS[name]()
                scores = run(row, parts[name], seed)
                print(seed, row, name, {k: round(v, 3) for k, v in scores.items()}, flush=True)
                runs.append({"set": name, "row": row, "seed": seed, "scores": scores})
                report = {
                    "commands": commands,
                    "machine": machine("cpu"),
                    "versions": versions("scmomer", "scvi-tools", "torch"),
                    "summary": summarize(runs),
                    "runs": runs,
                }
                args.json.parent.mkdir(parents=True, exist_ok=True)
                write_report(args.json, report)


if __name__ == "__main__":
    main()
