"""Tables of ``cpu.py``."""

from __future__ import annotations

from typing import Any

from _markdown import markdown, results

_CELLS, _TRAINED = 10_000, 0.95  # that times are scaled to; share that trains
_EPOCHS = {"rna": 1, "atac": 1, "fusion": 2, "bridge": 10}  # defaults for so many cells
_SCORES = {
    "auroc_within_depth": "AUROC within deciles",
    "auroc": "AUROC",
    "pseudobulk_pearson": "Pearson",
    "profile_ami": "profile AMI",
    "rna_ari": "ARI, RNA only",
    "rna_ami": "AMI",
    "rna_accuracy": "accuracy",
}


def _stage(found: dict[str, Any]) -> tuple[float, float]:
    """Return core-seconds of an epoch and of what is around the epochs, for so many cells."""
    n_train = found["cells"]
    n_other = n_train / _TRAINED - n_train
    epoch = found["train"][-1] / n_train * _TRAINED * _CELLS
    epoch += found["validation"][-1] / n_other * (1 - _TRAINED) * _CELLS
    return epoch, found["around"] / (n_train + n_other) * _CELLS


def deep_table() -> str:
    """Return core-seconds by stage and code."""
    report = results("cpu")
    names = [n for n in ("before", "after") if n in report["deep"]]
    runs = {name: report["deep"][name][-1] for name in names}
    times = {stage: {name: _stage(run[stage]) for name, run in runs.items()} for stage in _EPOCHS}
    rows = [
        [f"{stage}, an epoch", str(_EPOCHS[stage]), *(f"{of[n][0]:,.0f}" for n in names)]
        for stage, of in times.items()
    ]
    around = [sum(of[n][1] for of in times.values()) for n in names]
    rows.append(["between stages", "1", *(f"{seconds:,.0f}" for seconds in around)])
    every = [
        sum(_EPOCHS[stage] * of[n][0] for stage, of in times.items()) + rest
        for n, rest in zip(names, around, strict=True)
    ]
    rows.append(["all", "", *(f"{seconds:,.0f}" for seconds in every)])
    commits = [f"{n} ({report['commits'][n]})" for n in names]
    return markdown(["stage", "times", *commits], rows)


def epochs_table() -> str:
    """Return cost and scores by epochs of fusion and of the bridges."""
    rows = []
    for name, row in results("cpu")["epochs"].items():
        _, fold, seed, wanted = name.split(" ")
        fusion, bridge, *lr = wanted.split("/")
        bridge += f", lr {lr[0]}" if lr else ""
        scores = [f"{row['scores'][key]:.3f}" for key in _SCORES]
        rows.append([fold, seed, fusion, bridge, f"{row['seconds']:.0f}", *scores])
    rows.sort(key=lambda r: (r[0], r[1], -float(r[4])))
    return markdown(
        ["unseen", "seed", "fusion", "bridges", "core-seconds", *_SCORES.values()], rows
    )


TABLES = {"cpu-deep": deep_table, "cpu-epochs": epochs_table}
