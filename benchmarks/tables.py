"""Write the tables of README and docs from the JSON files of ``benchmarks/results``.

    python benchmarks/tables.py [--check]

A table is between ``<!-- table NAME -->`` and ``<!-- end -->``. With ``--check`` nothing is
written, and the exit code is 1 if a table differs from its results.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable

from _cpu_tables import TABLES as CPU_TABLES
from _deep_default_tables import COLUMNS as DEFAULT_PARTS
from _deep_default_tables import defaults
from _deep_encoder_tables import TABLES as ENCODER_PARTS
from _deep_encoder_tables import deep_encoder
from _deep_tables import PARTS as DEEP_PARTS
from _deep_tables import deep
from _drug_tables import COLUMNS as DRUG_PARTS
from _drug_tables import drugs, synergy
from _gene_tables import genes, links
from _gpu_tables import TABLES as GPU_PARTS
from _gpu_tables import gpu
from _markdown import ROOT, markdown, results
from _perturbation_tables import TABLES as PERTURBATION_PARTS
from _perturbation_tables import perturbation
from _phenotype_tables import PHENOTYPE_TABLES
from _transfer_tables import transfer

PAGES = (
    ROOT / "README.md",
    ROOT / "docs" / "benchmarks.md",
    ROOT / "docs" / "genes.md",
    ROOT / "docs" / "drugs.md",
    ROOT / "docs" / "perturbation.md",
)
BLOCK = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
LESS_IS_BETTER = {"rmse", "brier", "calibration_error"}
COSTS = {"core_seconds", "peak_mb"}
PLAIN = {
    "brier": ".5f",
    "calibration_error": ".5f",
    "core_seconds": ",.0f",
    "peak_mb": ",.0f",
    "log_loss": ".1f",
}
RANKS = {
    "auroc_within_depth": "AUROC within depth deciles",
    "auroc": "AUROC",
    "pseudobulk_pearson": "centered pseudobulk Pearson",
}
INTEGRATION_ERRORS = {"log_loss", "profile_mae", "rmse", "expression_mae"}
PROFILE = {"profile_ari": "profile ARI", "profile_ami": "profile AMI"}
CLUSTERS = {"ari": "k-means ARI", "ami": "AMI", "accuracy": "accuracy"}


def compared(name: str, part: str, columns: dict[str, str], first: str = " ") -> str:
    """Return methods x scores over the untouched folds; the best scores are bold."""
    methods = results(name)["summary"]["untouched"][part]
    best = {}
    for key in set(columns) - COSTS:
        pick = min if key in LESS_IS_BETTER else max
        best[key] = pick(v[key][0] for m, v in methods.items() if "oracle" not in m)

    def cell(method: str, key: str) -> str:
        mean, error = methods[method][key]
        if "oracle" in method and key.startswith("profile"):
            return "-"  # its profiles are functions of the labels
        text = f"{mean:{PLAIN[key]}}" if key in PLAIN else f"{mean:.3f} ± {error:.3f}"
        return f"**{text}**" if mean == best.get(key) else text

    rows = ([method, *(cell(method, key) for key in columns)] for method in methods)
    return markdown([first, *columns.values()], rows)


def integrated(part: str, columns: dict[str, str]) -> str:
    """Return methods x scores on unseen batches of SNARE-seq and of synthetic data."""
    found = results("integration")
    sides = (found["summary"]["untouched"][part], found["synthetic"]["summary"][part])
    # Lower errors are better; higher values of all other scores are better.
    pick = min if set(columns) & INTEGRATION_ERRORS else max
    best = [{k: pick(v[k][0] for v in side.values()) for k in columns} for side in sides]

    def cell(side: int, method: str, key: str) -> str:
        mean, error = sides[side][method][key]
        text = f"{mean:{PLAIN.get(key, '.3f')}}"
        text = text if math.isnan(error) else f"{text} ± {error:{PLAIN.get(key, '.3f')}}"
        return f"**{text}**" if mean == best[side][key] else text

    rows = (
        [method, *(cell(side, method, key) for side in (0, 1) for key in columns)]
        for method in sides[0]
    )
    header = (
        f"{data}: {label}" for data in ("SNARE-seq", "synthetic") for label in columns.values()
    )
    return markdown([" ", *header], rows)


def against_multivi() -> str:
    """Return scores and times of scMomer and MULTIVI."""
    methods = results("multivi")["methods"]
    names = {
        **RANKS,
        **PROFILE,
        **{
            f"embedding_{k}": f"embedding {v.removeprefix('k-means ')}" for k, v in CLUSTERS.items()
        },
        "embedding_macro_f1": "embedding macro-F1",
        "seconds": "seconds of training",
    }

    def cell(method: str, key: str) -> str:
        digits = ",.0f" if key == "seconds" else ".3f"
        return f"{methods[method][key]:{digits}}" if key in methods[method] else ""

    rows = ([label, *(cell(m, key) for m in methods)] for key, label in names.items())
    return markdown([" ", *methods], rows)


def ablation() -> str:
    """Return the scores of each switch."""
    columns = {
        "auroc_within_depth": "AUROC within deciles",
        "auroc": "AUROC",
        "pseudobulk_pearson": "Pearson",
        "profile_ami": "profile AMI",
        "rna_ari": "ARI, RNA only",
        "rna_ami": "AMI",
        "rna_accuracy": "accuracy",
        "atac_ami": "AMI, ATAC only",
        "both_ami": "AMI, both",
    }
    rows = (
        [row, *(f"{scores[key]:.3f}" for key in columns)]
        for row, scores in results("ablation")["rows"].items()
    )
    return markdown(["switch", *columns.values()], rows)


def encoder() -> str:
    """Return speed and memory beside performer-pytorch."""
    header = (
        "size, tokens, pass, ours (cells/s), performer-pytorch, ratio, ours (share of peak), theirs, "
        "ours (MB), theirs, relative error"
    )
    rows = (
        [
            r["size"],
            f"{r['tokens']:,}",
            r["mode"],
            f"{r['ours_cells_per_s']:.3g}",
            f"{r['theirs_cells_per_s']:.3g}",
            f"{r['ratio']:.2f}",
            f"{r['share_of_peak']:.0%}",
            f"{r['theirs_share_of_peak']:.0%}",
            f"{r['ours_peak_mb']:,.0f}",
            f"{r['theirs_peak_mb']:,.0f}",
            f"{r['relative_error']:.0e}",
        ]
        for r in results("encoder_cpu")["rows"]
    )
    return markdown(header.split(", "), rows)


def attention() -> str:
    """Return microseconds per token of a block."""
    kinds = ("softmax_forward_us", "favor_forward_us", "softmax_training_us", "favor_training_us")
    rows = (
        [r["size"], f"{r['length']:,}", *(f"{r[kind]:.2f}" for kind in kinds)]
        for r in results("attention_cpu")["rows"]
    )
    names = ["softmax, forward", "FAVOR+", "softmax, training", "FAVOR+"]
    return markdown(["size", "tokens", *names], rows)


def pairing() -> str:
    """Return the quality of pseudo-pairs, means over seeds."""
    columns = {
        "cell_type_agreement": "same type",
        "cell_type_agreement_confident_half": "in the confident half",
        "cell_subtype_agreement": "same subtype",
        "foscttm_of_partners": "FOSCTTM of partners",
        "atac_cells_used": "ATAC cells used",
    }
    rows = (
        [name, *(f"{scores[key][0]:.3f}" for key in columns)]
        for name, scores in results("pairing")["summary"].items()
    )
    return markdown([" ", *columns.values()], rows)


def missing() -> str:
    """Return scores by share of paired cells, means over folds and seeds."""
    columns = {**RANKS, **PROFILE, **CLUSTERS}
    back = "rna_pearson_per_gene"
    runs = results("missing")["runs"]

    def cell(share: str, method: str, key: str) -> str:
        found = [run[share][method] for run in runs]
        mean = sum(scores[key] for scores in found) / len(found)
        if f"{key}_kept" not in found[0]:
            return f"{mean:.3f}"
        return f"{mean:.3f} ({sum(scores[f'{key}_kept'] for scores in found) / len(found):.0%})"

    shares = [key for key in runs[0] if key.endswith(" paired")]
    rows = (
        [
            share,
            method,
            *(cell(share, method, key) for key in columns),
            cell(share, method, back) if back in runs[0][share][method] else "",
        ]
        for share in shares
        for method in runs[0][share]
    )
    header = ["training cells", " ", *columns.values(), "Pearson per gene, from ATAC"]
    return markdown(header, rows)


ANNOTATION = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "rare_f1": "F1 of the six rarest types",
    "core_seconds": "core seconds",
}


def annotation(protocol: str, columns: dict[str, str] = ANNOTATION, first: str = " ") -> str:
    """Return annotation scores of each method; the best scores are bold."""
    methods = results("annotation")[protocol]["summary"]["all"]
    best = {key: max(scores[key][0] for scores in methods.values()) for key in columns}

    def cell(scores: dict[str, list[float]], key: str) -> str:
        mean, error = scores[key]
        if key in PLAIN:
            return f"{mean:{PLAIN[key]}}"
        text = f"{mean:.3f}" if error != error else f"{mean:.3f} ± {error:.3f}"
        return f"**{text}**" if mean == best[key] else text

    rows = ([name, *(cell(scores, key) for key in columns)] for name, scores in methods.items())
    return markdown([first, *columns.values()], rows)


def by_setting(protocol: str, key: str, first: str, methods: list[str] | None = None) -> str:
    """Return one score, methods x settings."""
    summary = results("annotation")[protocol]["summary"]
    names = methods or list(next(iter(summary.values())))
    rows = ([name, *(f"{found[name][key][0]:.3f}" for found in summary.values())] for name in names)
    return markdown([first, *summary], rows)


def invariance() -> str:
    """Return the largest differences between embeddings of the same cells."""
    found = results("invariance")
    rows = ([k, f"{v:.1e}"] for k, v in found.items() if k != "largest embedding value")
    return markdown(["what changes", "largest difference"], rows)


TABLES: dict[str, Callable[[], str]] = {
    **{
        f"deep-defaults-{part}": lambda part=part: defaults(part)  # type: ignore[misc]
        for part in DEFAULT_PARTS
    },
    **{f"deep-{part}": lambda part=part: deep(part) for part in DEEP_PARTS},  # type: ignore[misc]
    **{
        f"deep-10x-{part}": lambda part=part: deep(part, "muon_10x_1000")  # type: ignore[misc]
        for part in ("accessibility", "expression")
    },
    "drug-synergy": synergy,
    **{
        f"deep-encoder-{part}-{key}": lambda part=part, data=data: deep_encoder(part, data)  # type: ignore[misc]
        for part in ENCODER_PARTS
        for key, data in (("pbmc", "sorted PBMC"), ("kang", "Kang"))
    },
    **{
        f"drugs-{part}": lambda part=part: drugs(part)  # type: ignore[misc]
        for part in DRUG_PARTS
    },
    **{
        f"genes-{part}": lambda part=part: genes(part)  # type: ignore[misc]
        for part in (
            "plain",
            "controlled",
            "difference",
            "pairs",
            "chromatin",
            "variability",
            "speed",
        )
    },
    **{
        f"perturbation-{part}": lambda part=part: perturbation(part)  # type: ignore[misc]
        for part in PERTURBATION_PARTS
    },
    "translation": lambda: compared(
        "translation",
        "RNA to ATAC",
        {**RANKS, "average_precision": "average precision", **PROFILE},
    ),
    "translation-short": lambda: compared(
        "translation", "RNA to ATAC", RANKS | PROFILE, "accessibility from RNA alone"
    ),
    "calibration": lambda: compared(
        "translation",
        "RNA to ATAC",
        {
            "calibration_error": "expected calibration error",
            "brier": "Brier score",
            "flattened_auroc": "flattened AUROC",
            "core_seconds": "core seconds",
            "peak_mb": "MB added at the peak",
        },
    ),
    "uncertainty": lambda: compared(
        "translation",
        "uncertainty",
        {
            "spearman_over_peaks_of_a_cell": "over the peaks of a cell",
            "spearman_over_cells_of_a_peak": "over the cells of a peak",
            "the_same_of_the_probability": "the same for the probability",
        },
        "rank correlation with the error",
    ),
    "markers": lambda: compared(
        "markers",
        "markers",
        {
            "precision_at_20": "precision of top 20",
            "precision_at_100": "of top 100",
            "precision_at_500": "of top 500",
            "spearman": "rank correlation",
        },
    ),
    "to-rna": lambda: compared(
        "translation",
        "ATAC to RNA",
        {
            "rmse": "RMSE",
            "mean_pearson_per_gene": "Pearson per gene",
            "mean_pearson_per_cell": "Pearson per cell",
        },
    ),
    "embedding": lambda: compared(
        "embedding",
        "embedding",
        {**CLUSTERS, "macro_f1": "macro-F1", "ilisi": "iLISI", "bras": "BRAS"},
    ),
    "taught": lambda: compared(
        "embedding",
        "taught",
        {"accuracy": "accuracy", "macro_f1": "macro-F1"},
        "input of a classifier of the training cells' types",
    ),
    "ceiling": lambda: compared(
        "translation", "ceiling", {"pseudobulk_pearson": "centered pseudobulk Pearson"}
    ),
    "embedding-short": lambda: compared(
        "embedding", "embedding", CLUSTERS, "embedding of unseen cells"
    ),
    "protein": lambda: compared(
        "protein",
        "protein",
        {
            "pearson": "Pearson per protein",
            "spearman": "Spearman",
            "pearson_within_types": "Pearson within cell types",
            "rmse": "RMSE of the log",
            "core_seconds": "core seconds",
        },
    ),
    "missing": missing,
    "integration": lambda: integrated(
        "integration",
        {"bio_conservation": "bio", "batch_correction": "batch", "total": "total"},
    ),
    "label-transfer": lambda: compared(
        "integration",
        "labels",
        {"accuracy": "accuracy", "macro_f1": "macro-F1", "confidence_auroc": "confidence AUROC"},
    ),
    "query-batches": lambda: integrated(
        "batches",
        {
            "log_loss": "log loss of a cell's peaks",
            "profile_mae": "mean profile of peaks",
            "expression_mae": "of expression",
        },
    ),
    "multivi": against_multivi,
    "ablation": ablation,
    "encoder": encoder,
    "attention": attention,
    **CPU_TABLES,
    **{f"gpu-{part}": lambda part=part: gpu(part) for part in GPU_PARTS},  # type: ignore[misc]
    "pairing": pairing,
    "links-synthetic": lambda: links("synthetic"),
    "links-snareseq": lambda: links("snareseq"),
    "transfer-labels": lambda: transfer("labels"),
    "transfer-translation": lambda: transfer("translation"),
    "invariance": invariance,
    **PHENOTYPE_TABLES,
    "annotation-batches": lambda: annotation("batches"),
    "annotation-unknown": lambda: by_setting("unknown", "auroc", "AUROC of the left-out type"),
    "annotation-five-fold": lambda: annotation("five_fold"),
    "annotation-imbalance": lambda: annotation("imbalance"),
    "annotation-facs": lambda: annotation("facs"),
    "annotation-facs-deep": lambda: annotation("facs_deep"),
    "annotation-short": lambda: annotation(
        "facs_deep",
        {"accuracy": "accuracy", "macro_f1": "macro-F1"},
        "annotation of deep cells from RNA",
    ),
    "annotation-kang": lambda: annotation("kang"),
    "annotation-pancreas": lambda: by_setting("pancreas", "macro_f1", "macro-F1"),
    "annotation-fractions": lambda: by_setting("fractions", "macro_f1", "macro-F1, labels given"),
}


def filled(text: str) -> str:
    """Return a page with updated tables."""
    return BLOCK.sub(lambda found: found[1] + "\n" + TABLES[found[2]]() + "\n" + found[3], text)


def main() -> None:
    """Write the pages, or report which differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args()
    stale = [page for page in PAGES if filled(page.read_text()) != page.read_text()]
    for page in stale:
        if args.check:
            print(f"{page.relative_to(ROOT)} differs from benchmarks/results")
        else:
            page.write_text(filled(page.read_text()))
    raise SystemExit(bool(stale and args.check))


if __name__ == "__main__":
    main()
