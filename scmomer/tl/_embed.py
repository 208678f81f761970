"""Write multi-omic embeddings into a container."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from scmomer._constants import KEYS
from scmomer.data import Layers, check_container
from scmomer.model import SCMOMER, resolve_model
from scmomer.tl._copy import Container, own
from scmomer.tl._record import record


def embed(
    data: Container,
    model: SCMOMER | str | Path | None = None,
    *,
    key_added: str = KEYS.OBSM,
    batch_size: int | None = None,
    copy: bool = False,
    **layers: Unpack[Layers],
) -> Container | None:
    """Embed cells with any of the model's modalities.

    Parameters
    ----------
    data
        AnnData or MuData with raw counts. Needs no setup, labels or batch column; features are
        matched by name. An AnnData of several modalities is split by ``var["feature_types"]`` or
        by names.
    model
        Trained model, or the path of a saved one; None for the last one trained or loaded.
    key_added
        Key in ``obsm``.
    batch_size
        Minibatch size, default :attr:`scvi.settings.batch_size`. Does not change results.
    copy
        Modify and return a copy of `data`.
    layers
        ``layer=`` (AnnData) or ``rna_layer=``, ``atac_layer=``, ``protein_layer=`` (MuData): layer
        with the raw counts; default as in the training data, else ``X``.
        ``profile=``: what the values of RNA are, as in
        :meth:`scmomer.SCMOMER.get_latent_representation`.

    Returns
    -------
    AnnData | MuData | None
        None, or the copy if `copy`. Adds, each of shape ``(n_cells, n_latent)`` and float32:

        ``obsm[key_added]``
            The fused embedding.
        ``obsm[key_added + "_rna"]``, ``"_atac"``, ``"_protein"``
            Embeddings of single modalities, predicted where a modality was not measured. NaN if no
            training cell had it together with a modality of the cell.
        ``uns["scmomer"]``
            Parameters and model id.

    Raises
    ------
    RuntimeError
        If there is no model, or it is not trained.
    ValueError
        If values are not counts, or no feature is shared.

    Examples
    --------
    >>> scmomer.tl.embed(adata, model)
    >>> sc.pp.neighbors(adata, use_rep="X_scmomer")
    """
    model = resolve_model(model)
    check_container(data)
    data = own(data, copy)
    found = model._embed(data, None, batch_size, layers)
    data.obsm[key_added] = found.latent
    for modality, values in found.single.items():
        data.obsm[f"{key_added}_{modality}"] = values
    record(data, model, "embed", key_added=key_added)
    return data if copy else None
