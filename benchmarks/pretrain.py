"""One model of many files with different genes and peaks, which need not fit in memory together.

    python benchmarks/pretrain.py DIR_OR_FILE... --out MODEL.scmomer [--rounds N]
        [--cells-per-round N] [--alone N] [--min-files N] [--leave-out NAME ...] [--resume] [--seed S]
    python benchmarks/pretrain.py --corpus human_rna --out MODEL.scmomer
    python benchmarks/pretrain.py --corpus mouse_cortex --leave-out 09F 09H --survey

Files are AnnData (.h5ad) of RNA, of ATAC or of both, and MuData (.h5mu) of cells that are paired,
pseudo-paired (``scmomer.pp.pair_cells``) or a mosaic. A table (.csv) with columns path, name,
species, assembly, batch_key, gene_key, keep, restore, modalities describes files that need it.

1. *Survey.* Each file is opened once. A gene is kept if at least ``--min-files`` files measured it
   (1: union; number of files: intersection; a gene that a file lacks counts as zero there. On the
   human RNA at hand the union gives better embeddings of all targets than genes of two files) and ``--min-cells`` cells of the corpus express it. A
   peak is kept if peaks of ``--min-files`` files overlap it; candidates are the peaks of the file
   with most of them, and of each further file those that overlap none so far. A file that shares
   less than a fifth of the genes or peaks is left out.
2. *Rounds.* A round draws about ``--cells-per-round`` cells, from each file in proportion to the
   square root of its cells, and trains on them: the first round a new model, later rounds the model
   of the round before. Each cell of a file is drawn once before any is drawn again. The first
   ``--alone`` rounds train each modality alone; once modalities are fused, further rounds train
   fusion and bridges, which use paired cells and cells with RNA. Choose ``--alone`` above 0 if many
   files have one modality.

The model is written after every round, with a JSON file beside it. ``--resume`` goes on after the
last finished round; cells and seeds of a round depend on ``--seed`` and its number alone. Memory is
that of the largest file and of one round.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import pandas as pd
import scvi
from _corpus import Corpus, make_corpus, make_shard, sizes, survey_files
from _measure import machine, peak_mb, versions
from _report import write_report
from _sources import CORPORA, Source, find_sources
from _vocabulary import Rule, Survey, shared_table
from anndata import AnnData
from mudata import MuData

import scmomer

Report = dict[str, Any]
MAX_SHOWN = 30  # files in a printed table
SETTINGS = ("seed", "cells_per_round", "min_files", "min_cells", "alone")


def parse(argv: list[str] | None = None) -> Namespace:
    """Return the command line."""
    parser = ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*", type=Path, help="folders, .h5ad, .h5mu or .csv")
    parser.add_argument("--corpus", choices=CORPORA, help="real data instead of paths")
    parser.add_argument("--leave-out", nargs="+", default=[], metavar="NAME", help="files")
    parser.add_argument("--batch-key", default="", help="column of obs in all files of paths")
    parser.add_argument("--min-files", type=int, default=1, help="that measured a feature")
    parser.add_argument("--min-cells", type=int, default=10, help="that express a gene")
    parser.add_argument("--survey", action="store_true", help="show files and features, then end")
    parser.add_argument("--out", type=Path, help="folder of the model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", type=int, default=0, help="first rounds without fusion")
    parser.add_argument("--cells-per-round", type=int, default=20_000)
    parser.add_argument("--resume", action="store_true", help="go on after the last round")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", default="auto", choices=("auto", "small", "base", "paper"))
    parser.add_argument("--options", type=json.loads, default={}, help="of the model, as JSON")
    parser.add_argument("--max-epochs", type=int, help="of every stage of every round")
    args = parser.parse_args(argv)
    if bool(args.paths) == bool(args.corpus):
        parser.error("Expected paths or --corpus, found both or none. Give one of them.")
    if not args.out and not args.survey:
        parser.error("Expected --out MODEL.scmomer or --survey, found neither.")
    return args


# -- files


def sources_of(args: Namespace) -> list[Source]:
    """Return the files that the command line names, without those left out."""
    found = CORPORA[args.corpus]() if args.corpus else find_sources(args.paths, args.batch_key)
    names = [source.name for source in found]
    if unknown := sorted(set(args.leave_out) - set(names)):
        raise SystemExit(f"Expected files among {names} in --leave-out, found {unknown}.")
    left = [source for source in found if source.name not in args.leave_out]
    if not left:
        raise SystemExit("Expected files to train on, found all of them in --leave-out.")
    return left


def show(surveys: list[Survey], corpus: Corpus, cells_per_round: int) -> None:
    """Print files, features and what is left out."""
    drawn = sizes(corpus.n_cells, cells_per_round)
    rows = {
        s.source.name: {
            "cells": s.n_with(tuple(s.n_cells)),
            **{f"{m} features": len(table) for m, table in s.features.items()},
            "used": "+".join(corpus.kept.get(s.source.name, ())) or "no",
            "cells per round": drawn.get(s.source.name, 0),
        }
        for s in surveys
    }
    print(pd.DataFrame.from_dict(rows, orient="index").to_string(na_rep="", float_format="%.0f"))
    for m, names in corpus.features.items():
        if sum(m in s.features for s in surveys) <= MAX_SHOWN:
            print(f"\n{m}: features of each file (rows) that another one has")
            print(shared_table(surveys, m).to_string(na_rep=""))
        print(f"\n{m}: {len(names)} common features")
    for name, reason in corpus.dropped.items():
        print(f"left out: {name} ({reason})")
    sys.stdout.flush()


# -- rounds


def train_round(shard: AnnData | MuData, before: Any, number: int, args: Namespace) -> Any:
    """Return the model of a round; `before` is that of the round before, or None."""
    stages = None
    if isinstance(shard, MuData):
        scmomer.pp.setup_mudata(shard, batch_key="batch")
        stages = [*shard.mod] if number < args.alone else None
    else:
        scmomer.pp.setup_anndata(shard, batch_key="batch")
    if before is None:
        model = scmomer.SCMOMER(shard, size=args.size, **args.options)
        model.train(args.max_epochs, stages=stages, enable_progress_bar=False)
    else:
        model = scmomer.SCMOMER(shard, init_from=before)
        more = {"freeze": "none", "enable_progress_bar": False}
        model.train(args.max_epochs, stages=stages, **more)
    return model


def run(corpus: Corpus, args: Namespace, report: Report, model: Any) -> None:
    """Train the rounds that are not finished; write model and report after each."""
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for number in range(len(report["rounds"]), args.rounds):
        kept: list[Any] = [model]
        started = time.perf_counter()

        def one(number: int = number, kept: list[Any] = kept) -> None:
            shard = make_shard(corpus, args.cells_per_round, number, args.seed)
            scvi.settings.seed = args.seed + number
            kept.extend([train_round(shard, kept.pop(), number, args), shard.n_obs])

        mb = peak_mb(one, "cpu")
        model, n_cells = kept
        spent = time.perf_counter() - started
        row = {"model": model.id, "cells": n_cells, "seconds": spent, "peak_mb": mb}
        report["rounds"].append(row)
        write_report(report_path(args.out), report)  # first, so that each model has its row
        model.save(args.out, overwrite=True)
        done = f"round {number + 1} of {args.rounds}"
        print(f"{done}: {n_cells} cells, {spent:.0f} s, {mb:.0f} MB", flush=True)


def report_path(out: Path) -> Path:
    """Return the JSON file beside the model."""
    return out.with_suffix(".json")


def new_report(corpus: Corpus, args: Namespace) -> Report:
    """Return the report of a run without rounds."""
    drawn = sizes(corpus.n_cells, args.cells_per_round)
    return {
        "command": " ".join(["python", *sys.argv]),
        "machine": machine("cpu"),
        "versions": versions("scmomer", "scvi-tools", "torch", "anndata"),
        "settings": {name: getattr(args, name) for name in SETTINGS},
        "features": {m: len(names) for m, names in corpus.features.items()},
        "features_sha256": {m: _digest(names) for m, names in corpus.features.items()},
        "files": {
            name: {"cells": n, "cells_per_round": drawn[name], "modalities": corpus.kept[name]}
            for name, n in corpus.n_cells.items()
        },
        "dropped": corpus.dropped,
        "rounds": [],
    }


def _digest(names: pd.Index) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def resumed(args: Namespace, fresh: Report) -> tuple[Report, Any]:
    """Return the report and the model of an earlier run, or a new report and None."""
    path = report_path(args.out)
    if not args.out.exists():
        return fresh, None
    if not args.resume:
        raise SystemExit(f"Expected a new folder, found {args.out}. Pass --resume, or delete it.")
    found = json.loads(path.read_text())
    for key in ("settings", "features_sha256", "files"):
        now, then = json.loads(json.dumps(fresh[key])), found[key]
        if now != then:
            other = sorted(k for k in {*now, *then} if now.get(k) != then.get(k))
            raise SystemExit(
                f"Expected the {key} of the first run ({path}), found others: {other}. Use the same "
                "files and options, or start anew with another --out."
            )
    model = scmomer.load(args.out)
    ids = [row["model"] for row in found["rounds"]]
    found["rounds"] = found["rounds"][: ids.index(model.id) + 1]  # a kill may leave one more
    return found, model


def main(argv: list[str] | None = None) -> None:
    """Survey the files and train."""
    args = parse(argv)
    surveys = survey_files(sources_of(args))
    corpus = make_corpus(surveys, Rule(args.min_files, args.min_cells))
    show(surveys, corpus, args.cells_per_round)
    del surveys
    if not args.survey:
        run(corpus, args, *resumed(args, new_report(corpus, args)))


if __name__ == "__main__":
    main()
