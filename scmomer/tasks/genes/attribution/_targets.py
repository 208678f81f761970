"""From names of features and labels to what is explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from scmomer._constants import ATAC, PROTEIN, RNA
from scmomer.inference import Inference
from scmomer.tasks.genes.attribution._readouts import (
    Prediction,
    Readout,
    linear_readout,
    log_odds_readout,
)

if TYPE_CHECKING:
    from scmomer.data import Cells
    from scmomer.model import SCMOMER
    from scmomer.tasks.annotation import CellTypeClassifier

OBS = "obs"
_KINDS = (ATAC, PROTEIN, RNA, OBS)
_MAX_PROBE_CELLS = 20_000


@dataclass(frozen=True)
class Target:
    """What to explain."""

    kind: str
    """A modality, or ``"obs"``."""
    names: tuple[str, ...]
    """Features or labels."""
    is_single: bool
    """Whether one name was given, not a list."""

    @classmethod
    def parse(cls, target: Any) -> Target:
        """Return ``(kind, name)`` or ``(kind, names)`` as a target."""
        right = isinstance(target, tuple | list) and len(target) == 2 and target[0] in _KINDS
        names: Any = target[1] if right else None
        single = right and (isinstance(names, str) or (names is not None and np.isscalar(names)))
        listed = right and not single and np.ndim(names) == 1
        every = (names,) if single else tuple(names) if listed else ()
        if not every:
            msg = (
                "Expected target=('atac', peak), ('protein', name), ('rna', gene), ('obs', label), "
                f"or a list of names of one of them, found {target!r}. Pass for example "
                "target=('rna', ['GAD1', 'SLC17A7'])."
            )
            raise ValueError(msg)
        return cls(str(target[0]), tuple(str(name) for name in every), bool(single))


def choose_source(target: Target, cells: Cells, source: str | None) -> str:
    """Return the modality to attribute to; see :func:`scmomer.tl.attribute`."""
    there = [m for m in cells.counts if cells.measured[m].any()]
    if source is not None:
        if source not in there:
            msg = (
                f"Expected source= among the modalities of the data and the model, {there}, found "
                f"{source!r}. Pass one of them, or None."
            )
            raise ValueError(msg)
        return source
    order = [RNA, ATAC, PROTEIN]
    if target.kind == RNA:  # a translation, if there is something to translate from
        order = [ATAC, PROTEIN, RNA]
    elif target.kind in order:
        order = [m for m in order if m != target.kind] + [target.kind]
    return next(m for m in order if m in there)


def feature_readout(model: SCMOMER, target: Target, source: str, cells: Cells) -> Readout:
    """Return what decoders predict for features; raise if the model lacks what it takes."""
    to = target.kind
    model._check_can_translate(to)
    columns = model._columns(to, list(target.names))
    assert columns is not None
    model._require_stages_for(
        cells.select_modality(source) if model.module.paired else cells, translate=source != to
    )
    if source != to and not model.module.has_bridge(source, to):
        msg = (
            f"Expected a model with a bridge from {source} to {to}, found one trained without "
            f"cells that have both. Pass another modality in source=, or train a model on cells "
            f"with {source} and {to}."
        )
        raise ValueError(msg)
    return Prediction.of(model.module, source, to).readout(columns, model.module.device)


def probe_readout(
    model: SCMOMER,
    target: Target,
    source: str,
    cells: Cells,
    labels: np.ndarray,
    batch_size: int | None,
) -> Readout:
    """Return log odds of labels, by logistic regression on the fused embedding.

    Parameters
    ----------
    model, target, source, cells, batch_size
        As in :func:`feature_readout`.
    labels
        Label of each cell, ``(n_cells,)`` text or None.
    """
    has = cells.measured[source] & np.array([label is not None for label in labels])
    known = sorted({str(label) for label in labels[has]})
    check_labels(target.names, known)
    if len(known) < 2:
        msg = (
            f"Expected at least 2 labels to tell apart, found {known}. Pass data with cells of "
            "other labels, or a CellTypeClassifier as `model`."
        )
        raise ValueError(msg)
    chosen = np.flatnonzero(has)
    if len(chosen) > _MAX_PROBE_CELLS:
        rng = np.random.default_rng(0)
        chosen = np.sort(rng.choice(chosen, _MAX_PROBE_CELLS, replace=False))
    alone = cells.select_modality(source)
    model._require_stages_for(alone)
    z = Inference(model.module, alone, chosen, batch_size).embed().latent
    mean, std = z.mean(0), np.maximum(z.std(0), 1e-6)
    weights, intercepts = [], []
    for name in target.names:
        fit = LogisticRegression(class_weight="balanced", max_iter=1000)
        fit.fit((z - mean) / std, labels[chosen] == name)
        slope = fit.coef_[0] / std
        weights.append(slope)
        intercepts.append(fit.intercept_[0] - slope @ mean)
    return linear_readout(np.stack(weights), np.array(intercepts), model.module.basis)


def classifier_readout(classifier: CellTypeClassifier, target: Target, source: str) -> Readout:
    """Return log odds of classes of a classifier that reads the fused embedding alone."""
    fitted = classifier.fitted_
    if fitted.inputs != "embedding":
        msg = (
            "Expected a classifier that reads the embedding alone (inputs='embedding'), found "
            f"inputs={fitted.inputs!r}. Fit one: `classifier = scmomer.CellTypeClassifier(model, "
            "inputs='embedding').fit(reference, labels_key)`; or pass the model, for a logistic "
            "regression on labels_key=."
        )
        raise ValueError(msg)
    if source not in fitted.modalities:
        msg = (
            f"Expected a source that the classifier reads, among {list(fitted.modalities)}, found "
            f"{source!r}. Pass one of them in source=."
        )
        raise ValueError(msg)
    check_labels(target.names, fitted.classes.tolist())
    basis = classifier._network.module.basis
    probabilities = fitted.of_embedding().eval().to(basis.device)
    codes = np.array([fitted.classes.tolist().index(name) for name in target.names])
    return log_odds_readout(probabilities, codes, basis)


def check_labels(names: Sequence[str], known: Sequence[str]) -> None:
    """Raise if there is no such label."""
    if unknown := [name for name in names if name not in known]:
        msg = f"Expected labels among {list(known)}, found {unknown}. Pass one of them in target=."
        raise ValueError(msg)
