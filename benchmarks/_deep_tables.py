"""Tables of ``deep.py``."""

from __future__ import annotations

from _markdown import markdown, results

_COLUMNS = {
    "accessibility": {
        "auroc_within_depth": "AUROC within depth deciles",
        "auroc": "AUROC",
        "pseudobulk_pearson": "centered pseudobulk Pearson",
        "average_precision": "average precision",
        "profile_ami": "profile AMI",
        "calibration_error": "calibration error",
        "brier": "Brier score",
    },
    "expression": {
        "rmse": "RMSE",
        "mean_pearson_per_gene": "Pearson per gene",
        "mean_pearson_per_cell": "Pearson per cell",
    },
    "embedding": {
        "ari": "k-means ARI",
        "ami": "AMI",
        "accuracy": "accuracy",
        "macro_f1": "macro-F1",
    },
}
_LESS_IS_BETTER = {"rmse", "calibration_error", "brier"}
_DIGITS = {"calibration_error": ".4f", "brier": ".4f"}
PARTS = tuple(_COLUMNS)


def deep(part: str, data: str = "synthetic") -> str:
    """Return methods x scores; the best that is no oracle is bold."""
    methods, columns = results("deep")["summary"][data][part], _COLUMNS[part]
    best = {}
    for key in columns:
        pick = min if key in _LESS_IS_BETTER else max
        best[key] = pick(v[key][0] for m, v in methods.items() if "oracle" not in m)

    def cell(method: str, key: str) -> str:
        mean, error = methods[method][key]
        form = _DIGITS.get(key, ".3f")
        text = f"{mean:{form}}" if error != error else f"{mean:{form}} ± {error:{form}}"
        return f"**{text}**" if mean == best[key] else text

    rows = ([method, *(cell(method, key) for key in columns)] for method in methods)
    return markdown([" ", *columns.values()], rows)
