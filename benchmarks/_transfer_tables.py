"""Tables of ``transfer.py``."""

from __future__ import annotations

from _markdown import markdown, results

TRANSFER = {
    "labels": {
        "accuracy": "accuracy",
        "macro_f1": "macro-F1",
        "ami": "k-means AMI",
        "annotation": "annotation accuracy",
    },
    "translation": {
        "auroc_within_depth": "AUROC of peaks within depth",
        "pseudobulk_pearson": "pseudobulk Pearson",
        "protein_pearson": "Pearson over proteins",
    },
}


def transfer(part: str) -> str:
    """Return scores by target, number of cells and method; the best scores are bold."""
    columns = TRANSFER[part]
    rows = []
    for target, sizes in results("transfer")["summary"].items():
        for n, found in sorted(sizes.items(), key=lambda item: int(item[0])):
            methods = found["methods"]
            keys = [k for k in columns if any(k in scores for scores in methods.values())]
            if not keys:
                continue
            best = {k: max(s[k][0] for s in methods.values() if k in s) for k in keys}
            for method, scores in methods.items():
                if not any(k in scores for k in keys):
                    continue
                cells = [_score(scores.get(k), best.get(k)) for k in columns]
                rows.append([target, n, method, *cells])
                target, n = "", ""
    return markdown(["target", "cells", "method", *columns.values()], rows)


def _score(found: list[float] | None, best: float | None) -> str:
    if found is None:
        return "-"
    text = f"{found[0]:.3f} ± {found[1]:.3f}"
    return f"**{text}**" if found[0] == best else text
