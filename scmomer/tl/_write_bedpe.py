"""Links for genome browsers."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd

_NEEDED = ["peak", "gene", "chrom", "start", "end", "tss", "strand", "score", "group"]


def write_bedpe(links: pd.DataFrame, path: str | Path) -> None:
    """Write links as BEDPE, which genome browsers show as arcs.

    Parameters
    ----------
    links
        Rows of :func:`peak_gene_links`, for example those with a low ``padj``.
    path
        File to write, such as ``links.bedpe``; with ``.gz`` it is compressed.

    Raises
    ------
    KeyError
        If a column is missing.
    TypeError
        If `links` is no DataFrame.

    Notes
    -----
    One line for each row: the peak, one base at the transcription start of the gene, then ``name``
    (``gene|group|peak``), ``score`` (-1 to 1) and the strands (``.`` of the peak). Positions count
    from 0 and ends are excluded.

    Examples
    --------
    >>> links = mdata.uns["scmomer_links"]
    >>> scmomer.tl.write_bedpe(links[links["padj"] < 0.05], "links.bedpe")
    """
    if not isinstance(links, pd.DataFrame):
        msg = (
            f"Expected a table of links, found {type(links).__name__}. Pass "
            "`mdata.uns['scmomer_links']`, or rows of it."
        )
        raise TypeError(msg)
    if absent := [column for column in _NEEDED if column not in links]:
        msg = (
            f"Expected columns {_NEEDED}, found {list(links.columns)}, without {absent}. Pass rows "
            "of `mdata.uns['scmomer_links']`."
        )
        raise KeyError(msg)
    tss = links["tss"].to_numpy()
    # The end of a gene on "-" is the base after its first.
    first = np.maximum(np.where(links["strand"] == "-", tss - 1, tss), 0)
    name = links["gene"].astype(str) + "|" + links["group"].astype(str)
    lines = pd.DataFrame(
        {
            "chrom1": links["chrom"],
            "start1": links["start"],
            "end1": links["end"],
            "chrom2": links["chrom"],
            "start2": first,
            "end2": first + 1,
            "name": (name + "|" + links["peak"].astype(str)).str.replace(r"\s", "_", regex=True),
            "score": links["score"].round(4),
            "strand1": ".",
            "strand2": links["strand"],
        }
    )
    header = "#" + "\t".join(lines.columns) + "\n"
    path = Path(path)
    with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
        file.write(header)
        lines.to_csv(file, sep="\t", header=False, index=False, lineterminator="\n")
