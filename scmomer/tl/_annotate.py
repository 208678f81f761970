"""Annotate cells from a labeled reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.stats import entropy

from scmomer._constants import RNA
from scmomer.data import (
    Layers,
    Profile,
    called,
    check_container,
    find_parts,
    obs_columns,
    reference_layers,
)
from scmomer.model import SCMOMER, resolve_model
from scmomer.tasks.annotation import UNKNOWN, CellTypeClassifier, shared_genes
from scmomer.tl._copy import Container, own
from scmomer.tl._record import record

KEY = "scmomer_label"


def annotate(
    query: Container,
    reference: AnnData | MuData | CellTypeClassifier,
    *,
    labels_key: str | None = None,
    model: SCMOMER | str | Path | None = None,
    mode: Literal["frozen", "finetune"] = "frozen",
    unknown_threshold: float | Literal["auto"] | None = None,
    key_added: str = KEY,
    batch_size: int | None = None,
    copy: bool = False,
    reference_layer: str | Mapping[str, str] | None = None,
    reference_profile: Profile | None = None,
    **layers: Unpack[Layers],
) -> Container | None:
    """Annotate cells with the types of a labeled reference.

    Trains a :class:`scmomer.CellTypeClassifier` on the embeddings of the reference and applies it
    to the query. Only shared genes and, if there are any, shared modalities are used.

    Parameters
    ----------
    query
        AnnData of one modality or MuData, with raw counts. Needs no labels and no setup.
    reference
        Labeled cells, AnnData or MuData; or a trained classifier, which can be reused for several
        queries.
    labels_key
        Column of the reference's obs with cell types; not needed with a classifier.
    model
        Trained model, or the path of a saved one; None for the last one trained or loaded. Not
        modified.
    mode
        ``"frozen"`` trains on cached embeddings, in seconds. ``"finetune"`` also trains the last
        block and the final norms of the RNA encoder, on a copy of the network, in minutes.
    unknown_threshold
        Cells whose largest probability is below it become ``"unknown"``. ``"auto"`` uses the 2.5 %
        quantile of held-out reference cells; cells whose novelty exceeds the 97.5 % quantile of the
        reference also become ``"unknown"``. None disables this.
    key_added
        Key in ``obs``, and prefix of the other keys.
    batch_size
        Minibatch size, default :attr:`scvi.settings.batch_size`. Does not change results.
    copy
        Modify and return a copy of `query`.
    reference_layer
        Layer of the reference with raw counts: a name for an AnnData, ``{"rna": "counts"}`` for a
        MuData.
    reference_profile
        What the values of RNA are in the reference, as ``profile=`` for the query.
    layers
        ``layer=`` (AnnData) or ``rna_layer=``, ``atac_layer=``, ``protein_layer=`` (MuData): layer
        with the raw counts of the query; default as in the training data, else ``X``.
        ``profile=``: what the values of RNA are, as in
        :meth:`scmomer.SCMOMER.get_latent_representation`.

    Returns
    -------
    AnnData | MuData | None
        None, or the copy if `copy`. Adds:

        ``obs[key_added]``
            Type of each cell, categorical.
        ``obsm[key_added + "_probability"]``
            Probabilities, ``(n_cells, n_types)``, float32; rows sum to 1. Columns are the types in
            ``uns["scmomer"]["annotate"]["params"]["classes"]``, the order of the categories of
            ``obs[key_added]``.
        ``obs[key_added + "_entropy"]``
            Entropy of the probabilities, from 0 to the log of the number of types (nats).
        ``obs[key_added + "_novelty"]``
            Distance of the embedding to the center of the nearest type, relative to the variation
            within types; 1 for the median reference cell.
        ``uns["scmomer"]["annotate"]``
            Parameters, threshold and model id.

    Raises
    ------
    KeyError
        If the column does not exist.
    RuntimeError
        If there is no model, or it is not trained.
    ValueError
        If labels are missing, or fewer than two classes have two cells; if reference
        and query share no gene; if a classifier was trained with another model.

    Examples
    --------
    >>> scmomer.tl.annotate(query, reference, labels_key="cell_type", unknown_threshold="auto")
    >>> query.obs["scmomer_label"]

    Which types can be told apart, by cells of the reference that were held out:

    >>> classifier = scmomer.CellTypeClassifier(model).fit(reference, "cell_type")
    >>> classifier.class_report_
    >>> scmomer.tl.annotate(query, classifier)
    """
    with called("query"):
        check_container(query)
    if isinstance(reference, CellTypeClassifier):
        classifier = reference
        classifier.check_model(classifier.model if model is None else resolve_model(model))
    else:
        fit = {
            "mode": mode,
            "batch_size": batch_size,
            **reference_layers(reference, reference_layer, reference_profile),
        }
        classifier = _fitted(query, reference, labels_key, resolve_model(model), fit)
    threshold = classifier.threshold(unknown_threshold)
    probabilities, novelty = classifier.annotate(query, batch_size=batch_size, **layers)
    query = own(query, copy)
    labels = classifier.assign_labels(probabilities.to_numpy(), unknown_threshold, novelty)
    _write(query, classifier, probabilities, novelty, labels, key_added)
    record(
        query,
        classifier.model,
        "annotate",
        key_added=key_added,
        labels_key=labels_key,
        mode=classifier.mode,
        threshold=threshold,
        classes=classifier.classes_,
    )
    return query if copy else None


def _fitted(
    query: AnnData | MuData,
    reference: AnnData | MuData,
    labels_key: str | None,
    model: SCMOMER,
    options: dict[str, Any],
) -> CellTypeClassifier:
    """Train a classifier on the modalities and genes that reference and query share."""
    with called("reference"):
        check_container(reference)
    if labels_key is None:
        msg = (
            "Expected labels_key=, the column of the reference's obs with cell types, found None. "
            f"Pass one of {obs_columns(reference)}."
        )
        raise ValueError(msg)
    classifier = CellTypeClassifier(model)
    found = {}
    for name, data in (("reference", reference), ("query", query)):
        with called(name):
            found[name] = find_parts(data, model.spec)
    shared = [m for m in found["reference"] if m in found["query"]]
    genes = None
    if RNA in shared:
        names = {parts[RNA].where: parts[RNA].names for parts in found.values()}
        genes = shared_genes(names, model.spec.features[RNA])
    with called("reference", "reference_layer"):
        return classifier.fit(
            reference,
            labels_key,
            modalities=shared or None,
            genes=genes,
            **options,
        )


def _write(
    query: AnnData | MuData,
    classifier: CellTypeClassifier,
    probabilities: pd.DataFrame,
    novelty: np.ndarray,
    labels: np.ndarray,
    key: str,
) -> None:
    """Write the columns of :func:`annotate`."""
    names = [*classifier.classes_]
    if UNKNOWN in labels and UNKNOWN not in names:
        names.append(UNKNOWN)
    query.obs[key] = pd.Categorical(labels, categories=names)
    query.obs[f"{key}_entropy"] = entropy(probabilities.to_numpy(), axis=1).astype(np.float32)
    query.obs[f"{key}_novelty"] = novelty
    # An array: files cannot hold a data frame with a column named CD4/CD8.
    query.obsm[f"{key}_probability"] = probabilities.to_numpy(np.float32)
