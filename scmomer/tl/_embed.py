"""Write multi-omics embeddings into a container."""

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
    """Embed cells, whatever modalities they have.

    Parameters
    ----------
    data
        AnnData or MuData with raw counts where the model's training data had them. Needs no
        set-up, labels or batch column; features are matched by name. An AnnData of several
        modalities is split by ``var["feature_types"]`` or by names.
    model
        Trained model, path of a saved one, or None for the one trained or loaded last.
    key_added
        Key in ``obsm``.
    batch_size
        Cells at a time, default :attr:`scvi.settings.batch_size`. Does not change results.
    copy
        Return a changed copy instead of changing `data`.
    layers
        ``layer=`` (AnnData) or ``rna_layer=``, ``atac_layer=``, ``protein_layer=`` (MuData): where
        raw counts are, if not where the training data had them or in ``X``.

    Returns
    -------
    AnnData | MuData | None
        None, or the copy. Adds, each of shape ``(n_cells, n_latent)`` and float32:

        ``obsm[key_added]``
            The fused embedding.
        ``obsm[key_added + "_rna"]``, ``"_atac"``, ``"_protein"``
            Embeddings of the model's single modalities; predicted where one was not measured, not
            a number where no training cell had it together with what the cell has.
        ``uns["scmomer"]``
            Parameters and id of the model.

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
