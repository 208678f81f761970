"""Demo on real cells: train, then embed and translate cells with RNA only.

Holds out one SNARE-seq batch as an RNA-only query, trains on the other batches, and writes
``query.h5ad``, ``translated_atac.h5ad``, ``model.scmomer/``, ``umap.png``, ``translation.png`` and
``metrics.json``. Run by ``make demo``.
"""

from __future__ import annotations

import argparse
import platform
import resource
import time
from importlib.metadata import version
from pathlib import Path

import _baselines as baselines
import _demo_plots as plots
import scvi
from _held_out import compare_embeddings, compare_translations, hold_out
from _report import write_report

import scmomer


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results")
    parser.add_argument("--batch", default="09B", help="batch of the query")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def print_table(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print one line for each method."""
    columns = list(next(iter(rows.values())))
    print(f"\n{title:34s}" + "".join(f"{c:>20s}" for c in columns))
    for name, values in rows.items():
        print(f"{name:34s}" + "".join(f"{values[c]:20.3f}" for c in columns))


def main() -> None:
    """Run the demo."""
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    scvi.settings.seed = args.seed

    train, truth = hold_out(scmomer.datasets.snareseq_cortex(), args.batch)
    query = truth["rna"].copy()  # RNA only: the missing-modality case

    scmomer.pp.setup_mudata(train, batch_key="batch")
    model = scmomer.SCMOMER(train)
    model.train()
    trained = time.perf_counter()
    model.save(args.out / "model.scmomer", overwrite=True)

    scmomer.tl.embed(query, model)
    translated = scmomer.tl.translate_atac(query, model, path=args.out / "translated_atac.h5ad")
    probabilities = translated.X[:]
    finished = time.perf_counter()

    labels = query.obs["cell_subtype"].astype(str).to_numpy()
    types = query.obs["cell_type"].astype(str).to_numpy()
    translation = compare_translations(train, truth, probabilities, labels)
    embedding = compare_embeddings(train, truth, query.obsm["X_scmomer"], labels)
    query.obsm["X_pca"] = baselines.rna_pca(train["rna"].X, query.X)[1]
    plots.umap_picture(query, args.out / "umap.png")
    plots.translation_picture(truth["atac"].X, probabilities, types, args.out / "translation.png")

    query.write_h5ad(args.out / "query.h5ad")
    seconds = {
        "train": trained - started,
        "embed_and_translate": finished - trained,
        "all": time.perf_counter() - started,
    }
    report = {
        "held_out_batch": args.batch,
        "n_cells": {"train": train.n_obs, "query": query.n_obs},
        "seed": args.seed,
        "model": str(model._model_summary_string),
        "translation": translation,
        "embedding": embedding,
        "seconds": seconds,
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "machine": f"{platform.machine()}, {platform.system()}",
        "versions": {p: version(p) for p in ("scmomer", "scvi-tools", "torch", "scanpy")},
    }
    write_report((args.out / "metrics.json"), report)
    print(f"\nBatch {args.batch}: {query.n_obs} cells that were not used for training, RNA only.")
    print_table("accessibility from RNA", translation)
    print_table("embedding (k-means vs subtype)", embedding)
    print(
        f"\n{seconds['train']:.0f} s training, {seconds['all']:.0f} s in total, "
        f"{report['peak_memory_gb']:.1f} GB. Results are in {args.out}/."
    )


if __name__ == "__main__":
    main()
