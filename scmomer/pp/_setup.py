"""Registration of data for a model, in scanpy style."""

from __future__ import annotations

from collections.abc import Mapping

from anndata import AnnData
from mudata import MuData

from scmomer._constants import Modality
from scmomer.data import Profile
from scmomer.model import SCMOMER


def setup_mudata(
    mdata: MuData,
    *,
    rna_layer: str | None = None,
    atac_layer: str | None = None,
    protein_layer: str | None = None,
    batch_key: str | None = None,
    labels_key: str | None = None,
    modalities: Mapping[str, str | None] | None = None,
    profile: Profile = "counts",
) -> None:
    r"""Check and register the counts of two or three of RNA, ATAC and surface protein.

    Parameters
    ----------
    mdata
        MuData with raw counts of at least two modalities (sparse or dense, any format). A cell may
        lack modalities, but some cells must have two. Peaks are named ``chr1:1000-1500``,
        ``chr1_1000_1500`` or ``chr1-1000-1500`` and may be in any order.
    rna_layer, atac_layer, protein_layer
        Layers with the counts; None for ``X``.
    batch_key
        Column of samples or batches, looked up in ``mdata.obs`` and then in the modalities'
        obs. Decoders have one bias per batch; encoders do not depend on the batch.
    labels_key
        Column of cell types, looked up in the same way. Used only in stage 2, so that false pairs
        are of different types.
    modalities
        Keys of the modalities in `mdata` if they are not ``rna``, ``atac`` and ``protein`` (or
        ``prot``, ``adt``), for example ``{"rna_layer": "gex", "atac_layer": "peaks"}`` as in
        :meth:`scvi.model.MULTIVI.setup_mudata`. None leaves a modality out:
        ``{"protein": None}``.
    profile
        What the values of RNA are; other modalities are always counts. ``"counts"``: raw counts.
        ``"normalized"``: not negative and in proportion to counts (counts per 10,000, TPM), or
        their ``log(1 + x)`` or ``log2(1 + x)``. A model cannot be trained on ``"zscore"``, but
        reads such queries. See Notes.

    Returns
    -------
    None
        Counts are not modified. As for every scvi-tools model, registration adds
        ``_scvi_batch`` and ``_scvi_labels`` to ``mdata.obs`` and ids to ``mdata.uns``.

    Raises
    ------
    KeyError
        If a modality, layer or column is missing; the message lists those that exist.
    ValueError
        If values are not raw counts (NaN, infinite, negative, fractions) or do not fit `profile`,
        names are not unique, peak names cannot be parsed, a column has missing values, a cell has
        no modality, a modality shares fewer than two cells with the other ones, or `mdata` is a
        view.
    TypeError
        If `mdata` is not a MuData, or a matrix is not numeric.

    Notes
    -----
    Profiles of RNA that are not counts are brought to the scale of counts when they are read, and
    then take the same way as counts: divided by their total over the model's genes, log2,
    expression bins (tokens). The log says how they were read.

    ``"normalized"``
        Values above 25 are linear. Otherwise the scale (linear, ``log(1 + x)``, ``log2(1 + x)``) is
        that on which each cell consists of whole multiples of its smallest value: these are then
        the raw counts, and everything is as it would be with counts, library sizes included
        (unless the smallest value is the same in all cells, as in rounded data). If there is none
        (bulk data, corrected data), it is that on which all cells have about the same total; then
        ``log2(1 + x)`` if the largest value is above 13.8; and else ``log(1 + x)``, with a warning.
        Tokens are then those of relative abundances. Cells get a total of 10,000, which is no
        library size: translation is at mean depth, and a model that is trained on such data does
        not predict depth from RNA.
    ``"zscore"``
        Genes above 0, that is above their own mean, count as expressed, others do not. Of :math:`n`
        such genes in a cell, that of rank :math:`r` from below gets
        :math:`-\mu \log(1 - (r - 1/2) / n)`, a quantile of an exponential distribution with the
        gene's mean expression :math:`\mu` in the model (1 for published weights, which have none).
        There is no library size, as above.

    Examples
    --------
    >>> mdata = scmomer.datasets.snareseq_cortex()
    >>> scmomer.pp.setup_mudata(mdata, batch_key="batch")
    """
    SCMOMER.setup_mudata(
        mdata,
        rna_layer=rna_layer,
        atac_layer=atac_layer,
        protein_layer=protein_layer,
        batch_key=batch_key,
        labels_key=labels_key,
        modalities=modalities,
        profile=profile,
    )


def setup_anndata(
    adata: AnnData,
    *,
    modality: Modality | None = None,
    layer: str | None = None,
    batch_key: str | None = None,
    labels_key: str | None = None,
    profile: Profile = "counts",
) -> None:
    """Check the counts of one modality and register them with scvi-tools.

    Parameters
    ----------
    adata
        AnnData with raw counts of genes, of peaks or of proteins.
    modality
        ``"rna"``, ``"atac"`` or ``"protein"``; None infers it from the feature names
        (intervals are peaks) and from ``var["feature_types"]`` (``"Antibody Capture"``).
    layer
        Layer with the counts; None for ``X``.
    batch_key, labels_key
        Columns of ``adata.obs``, as in :func:`setup_mudata`.
    profile
        What the values of RNA are, as in :func:`setup_mudata`.

    Returns
    -------
    None
        Counts are not modified. Adds ``_scvi_batch`` and ``_scvi_labels`` to ``adata.obs``
        and ids to ``adata.uns``.

    Raises
    ------
    KeyError
        If a layer or column is missing; the message lists those that exist.
    ValueError
        If values are not raw counts, names are not unique, peak names cannot be parsed, a column
        has missing values, or `adata` is a view.
    TypeError
        If `adata` is not an AnnData, or its matrix is not numeric.
    """
    SCMOMER.setup_anndata(
        adata,
        modality=modality,
        layer=layer,
        batch_key=batch_key,
        labels_key=labels_key,
        profile=profile,
    )
