"""Ablation of the default model, one switch at a time.

    python benchmarks/ablation.py [--rows "default" "one head" ...] [--fold 09C+09J] [--seed 0]
        [--models DIR]

Uses a pair of batches on which settings were chosen, not the reported ones. The translation heads
take half of the time and do not depend on the switches; rows are therefore run without them and
compared with "no further heads". Rows that change only stage 3 share one run of stages 1 and 2. The
JSON is written after every row; rows that it already has are not run again. With ``--models`` the
models of the rows are read from and written to a folder.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import scvi
from _held_out import classify, score_embedding, score_profile, score_translation
from _measure import machine, versions
from _quality import CHOSEN_ON, Scores, data, kept_model
from _report import write_report
from mudata import MuData
from torch import Tensor

import scmomer

# Translations at another share of the predicted depth.
DEPTH_SHARES = {"depth share 0": 0.0, "depth share 1": 1.0}
# Number of heads; 0 in all other rows.
HEADS = {
    "default": 3,
    "six further heads": 6,
}
# Switches of stage 3.
LATE: dict[str, dict[str, Any]] = {
    "default": {},
    "six further heads": {},
    "no further heads": {},
    "bridge leaves its own embedding": {"bridge_refine_source": False},
    "bridge reads features": {"bridge_reads": "features"},
    "bridge not centred": {"bridge_center_inputs": False},
    "no input dropout": {"bridge_input_dropout": 0.0},
    "expression not rebuilt": {"bridge_self_reconstruction": 0.0, "bridge_count_loss": 0.0},
    "counts not rebuilt": {"bridge_count_loss": 0.0},
    "no dropout of embeddings": {"bridge_embedding_dropout": 0.0},
    "no distillation": {"distill_weight": 0.0},
    "measured ATAC taken as it is": {"measured_gain": False},
    "depth share 0": {},
    "depth share 1": {},
    "embedding in its own units": {"expression_metric": False},
}
# Switches that need all stages again.
EARLY: dict[str, dict[str, Any]] = {
    "MLP for RNA": {"rna_encoder": "mlp"},
    "MLP for ATAC": {"atac_encoder": "mlp"},
    "no warm start": {"warm_start": False},
    "no discriminator": {"discriminator_weight": 0.0},
    "16 dimensions": {"n_latent": 16},
    "64 dimensions": {"n_latent": 64},
    "log2 bins": {"binning": "log2"},
    "tokens of all genes": {"tokens": "all"},
    "base size": {"size": "base"},
    "no depth term": {"atac_depth_term": False},
    "without stage 1": {},
    "without stage 2": {},
    "three times the epochs of stages 1 and 2": {},
    "no further heads, another seed": {},
    "without batch key": {},
}
FIRST = ("rna", "atac", "fusion")


def build(train: MuData, name: str, options: dict[str, Any], seed: int) -> scmomer.SCMOMER:
    """Return an untrained model."""
    scvi.settings.seed = seed + (name == "no further heads, another seed")
    batch_key = None if name == "without batch key" else "batch"
    scmomer.pp.setup_mudata(train, batch_key=batch_key)
    return scmomer.SCMOMER(train, **{"bridge_n_heads": HEADS.get(name, 0), **options})


def fit(train: MuData, name: str, seed: int, shared: dict[str, Tensor]) -> scmomer.SCMOMER:
    """Train the model of a row; `shared` holds stages 1 and 2 of the default."""
    quiet = {"enable_progress_bar": False}
    if name in EARLY:
        model = build(train, name, EARLY[name], seed)
        skipped = {"without stage 1": FIRST[:2], "without stage 2": FIRST[2:]}.get(name, ())
        more = {"rna": 3, "atac": 3, "fusion": 6} if name.startswith("three times") else None
        model.train(stages=[s for s in FIRST if s not in skipped], max_epochs=more, **quiet)
        model.stages_ = FIRST  # skipped stages count as done
        model.train(stages=["bridge"], **quiet)
        return model
    if not shared:
        default = build(train, "default", {}, seed)
        default.train(stages=FIRST, **quiet)
        shared |= {k: v.clone() for k, v in default.module.state_dict().items()}
    model = build(train, name, LATE[name], seed)
    model.train(stages=[], **quiet)  # start values only
    late = ("bridges.", "depth_heads.", "refines", "basis", "even_depth")
    kept = {k: v for k, v in shared.items() if not k.startswith(late)}
    model.module.load_state_dict({**model.module.state_dict(), **kept})
    model.stages_ = FIRST
    model.train(stages=["bridge"], **quiet)
    return model


def timed(
    train: MuData, name: str, seed: int, shared: dict[str, Tensor]
) -> tuple[scmomer.SCMOMER, Scores]:
    """Train the model of a row; return it and the seconds."""
    started = time.perf_counter()
    model = fit(train, name, seed, shared)
    return model, {"seconds": time.perf_counter() - started}


def score(model: scmomer.SCMOMER, test: MuData, name: str) -> Scores:
    """Score translation and embeddings of the held-out cells."""
    labels = test.obs["cell_subtype"].astype(str).to_numpy()
    values = model.get_translated(test["rna"], depth_share=DEPTH_SHARES.get(name))
    found = score_translation(test["atac"].X, values, labels) | score_profile(values, labels)
    for name, cells in (("rna", test["rna"]), ("atac", test["atac"]), ("both", test)):
        z = model.get_latent_representation(cells)
        scores = score_embedding(z, labels) | classify(z, labels)
        found |= {f"{name}_{k}": v for k, v in scores.items()}
    return found


def main() -> None:
    """Run rows, print and write each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", default=[*LATE, *EARLY])
    parser.add_argument("--fold", default=CHOSEN_ON[1], choices=CHOSEN_ON)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cells", type=int, help="number of cells, for a quick run")
    parser.add_argument("--models", type=Path, help="folder to read and write trained models")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/ablation.json"))
    args = parser.parse_args()
    report: dict[str, Any] = {"fold": args.fold, "seed": args.seed, "rows": {}}
    if args.json.exists():
        report = json.loads(args.json.read_text())
    report |= {"machine": machine("cpu"), "versions": versions("scmomer", "scvi-tools", "torch")}
    train, test = data(args.fold, args.cells)
    shared: dict[str, Tensor] = {}
    for name in args.rows:
        if name in report["rows"]:
            continue
        file = f"ablation_{name.replace(' ', '_')}_{args.fold}_{args.seed}.scmomer"
        path = None if args.models is None else args.models / file
        make = partial(timed, train, name, args.seed, shared)
        model, cost = kept_model(path, make)
        report["rows"][name] = {**cost, **score(model, test, name)}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        write_report(args.json, report)
        print(name, {k: round(v, 4) for k, v in report["rows"][name].items()}, flush=True)


if __name__ == "__main__":
    main()
