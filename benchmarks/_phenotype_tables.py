"""Tables of ``phenotype.py``, ``confidence.py`` and ``rna_embedding.py``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from _markdown import markdown, results

_TOLD = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1"}
_CLUSTERS = {
    "kang": {"type": "type", "condition": "condition"},
    "baron": {"type": "type", "donor": "donor", "species": "species"},
}
_KNOWN = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "expected_calibration_error": "expected calibration error",
    "overconfidence": "mean confidence - accuracy",
    "brier": "Brier score",
}
_EMBEDDING = {
    "ari": "k-means ARI",
    "ami": "AMI",
    "accuracy": "accuracy, 15 neighbors",
    "macro_f1": "macro-F1",
}
_LOW, _UNRANKED = ("expected_calibration_error", "brier"), ("overconfidence",)
Methods = dict[str, dict[str, list[float]]]


def phenotype(part: str) -> str:
    """Return methods x scores of a data set; the best scores are bold."""
    name, _, what = part.partition("-")
    found = results("phenotype")["summary"][name]
    if not what:
        return _table(found["told"], _TOLD)
    columns = {
        f"{group}_{key}": f"{label}: {key.upper()}"
        for group, label in _CLUSTERS[name].items()
        for key in ("ari", "ami")
    }
    low = [key for key in columns if key.startswith("donor")]
    return _table(found["clusters"], columns, low)


def confidence(part: str) -> str:
    """Return methods x scores, or AUROC of the types that were left out."""
    summary = results("confidence")["summary"]
    if part == "known":
        return _table(summary["known"], _KNOWN, _LOW, _UNRANKED)
    types = [name for name in summary if name != "known"]
    methods: Methods = {
        method: {name: summary[name][method]["auroc"] for name in types}
        for method in summary[types[0]]
    }
    return _table(methods, {name: name for name in types})


def rna_embedding(name: str) -> str:
    """Return methods x scores of the embedding of a data set; the best scores are bold."""
    return _table(results("rna_embedding")["summary"][name], _EMBEDDING)


def _table(
    methods: Methods,
    columns: dict[str, str],
    low: Collection[str] = (),
    unranked: Collection[str] = (),
) -> str:
    best = {
        key: (min if key in low else max)(scores[key][0] for scores in methods.values())
        for key in set(columns) - set(unranked)
    }

    def cell(scores: dict[str, list[float]], key: str) -> str:
        mean, error = scores[key]
        text = f"{mean:.3f}" if error != error else f"{mean:.3f} ± {error:.3f}"
        return f"**{text}**" if mean == best.get(key) else text

    rows = ([name, *(cell(scores, key) for key in columns)] for name, scores in methods.items())
    return markdown([" ", *columns.values()], rows)


PHENOTYPE_TABLES: dict[str, Callable[[], str]] = {
    **{
        f"phenotype-{part}": partial(phenotype, part)
        for part in ("kang", "baron", "kang-clusters", "baron-clusters")
    },
    **{f"confidence-{part}": partial(confidence, part) for part in ("known", "unknown")},
    **{
        f"rna-embedding-{name.replace('_', '-')}": partial(rna_embedding, name)
        for name in ("facs_deep", "kang", "pancreas", "snareseq")
    },
}
