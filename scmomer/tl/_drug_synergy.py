"""Predict the synergy of pairs of drugs in cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
from anndata import AnnData

from scmomer.data import Profile
from scmomer.tasks.drugs import DrugSynergyModel
from scmomer.tl._copy import own
from scmomer.tl._record import record

KEY = "scmomer_drug_synergy"


def drug_synergy(
    cells: AnnData,
    model: DrugSynergyModel | str | Path,
    pairs: pd.DataFrame | Sequence[tuple[str, ...]] | None = None,
    *,
    drugs: pd.Series | Mapping[str, str] | pd.DataFrame | None = None,
    threshold: float = 30.0,
    key_added: str = KEY,
    copy: bool = False,
    profile: Profile | None = None,
    layer: str | None = None,
    standardize: Literal["training", "query"] | None = None,
    on_invalid: Literal["raise", "skip"] = "raise",
) -> AnnData | None:
    """Predict the synergy of pairs of drugs in cell lines.

    Parameters
    ----------
    cells
        Cell lines x genes, as those that the model was fitted with.
    model
        Fitted model, or the path of a saved one of expression; one of embeddings is loaded with
        :meth:`scmomer.DrugSynergyModel.load`.
    pairs
        Table with ``drug_a`` and ``drug_b``, and perhaps ``cell_line``, or a list of tuples; None
        for all pairs of `drugs`, or of those of training. Without a line, each pair in each of
        `cells`.
    drugs
        SMILES by name, needed for drugs that training did not have.
    threshold
        Synergy above which a pair is called synergistic.
    key_added
        Key in ``uns``.
    copy
        Modify and return a copy of `cells`.
    profile, layer
        What the values are, None: as in training; and the layer, None for ``X``.
    standardize, on_invalid
        As in :meth:`scmomer.DrugSynergyModel.predict`.

    Returns
    -------
    AnnData | None
        None, or the copy if `copy`. Adds:

        ``uns[key_added]``
            A row for each pair and line: ``drug_a``, ``drug_b``, ``cell_line``, ``synergy``, ``std``,
            ``probability`` and ``new``, as :meth:`scmomer.DrugSynergyModel.predict` returns them.
        ``uns["scmomer"]["drug_synergy"]``
            Parameters, weight of the networks and id of the embedding model, if there is one.

    Raises
    ------
    TypeError
        If `model` is no model of synergy.
    RuntimeError
        If it is not fitted.
    ValueError
        If `key_added` is no text or has a slash, a drug or line is unknown, or cells have none of the genes.

    Examples
    --------
    >>> scmomer.tl.drug_synergy(lines, model, [("DASATINIB", "ERLOTINIB")])
    >>> lines.uns["scmomer_drug_synergy"].sort_values("synergy", ascending=False)
    """
    if not isinstance(key_added, str) or not key_added or "/" in key_added:
        msg = (
            f"Expected key_added as text without '/', found {key_added!r}: files could not store or "
            f"give back uns[{key_added!r}]. Pass another key, such as {KEY!r}."
        )
        raise ValueError(msg)
    if isinstance(model, str | Path):
        model = DrugSynergyModel.load(model)
    if not isinstance(model, DrugSynergyModel):
        msg = (
            f"Expected a DrugSynergyModel or its path, found {type(model).__name__}. Run "
            "`model = scmomer.DrugSynergyModel().fit(synergy, cells, drugs)`."
        )
        raise TypeError(msg)
    found = model.predict(
        pairs,
        cells,
        drugs,
        threshold=threshold,
        profile=profile,
        layer=layer,
        standardize=standardize,
        on_invalid=on_invalid,
    )
    cells = own(cells, copy)
    cells.uns[key_added] = found.set_axis(found.index.astype(str))  # as files store it
    record(
        cells,
        model.embedding_model,
        "drug_synergy",
        key_added=key_added,
        threshold=threshold,
        weight=model.weight_,
        n_rows=len(found),
    )
    return cells if copy else None
