"""Coordinates of genes, from their annotation, a table, or a GTF or GFF file."""

from __future__ import annotations

import gzip
import logging
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from scmomer.data._match_genes import match_genes
from scmomer.data._names import examples
from scmomer.module import PeakPositions

logger = logging.getLogger(__name__)

#: A table of genes, or the path of a GTF or GFF file, which may be compressed with gzip.
GeneSource: TypeAlias = pd.DataFrame | str | Path

_COLUMNS = {
    "chrom": ("chrom", "chr", "seqnames", "seqname", "chromosome", "chromosome_name"),
    "start": ("start", "chromstart", "start_position"),
    "end": ("end", "chromend", "stop", "end_position"),
    "strand": ("strand",),
}
_NEEDED = ["chrom", "start", "end"]
_INTERVAL = "interval"  # of 10x Genomics: chr1:100-200
_INTERVAL_PARTS = r"^\s*(?P<chrom>[^\s:]+):(?P<start>\d[\d,]*)-(?P<end>\d[\d,]*)\s*$"
_GENE_COLUMNS = ("gene", "gene_name", "gene_id", "gene_ids", "name", "symbol", "gene_symbol")
_ENSEMBL_COLUMNS = ("external_gene_name", "ensembl_gene_id", "hgnc_symbol")
_STRANDS = {"+": 1, "1": 1, "1.0": 1, "-": -1, "-1": -1, "-1.0": -1}
_GTF_GENE = re.compile(
    rb"^([^#\t][^\t]*)\t[^\t]*\t(?:gene|ncRNA_gene|pseudogene)\t(\d+)\t(\d+)\t[^\t]*\t([^\t]*)\t"
    rb"[^\t]*\t(.*)"
)
_GTF_KEYS = {  # of attributes: `gene_id "A";` in GTF, `ID=gene:A;` in GFF
    "gene_name": re.compile(r'(?:^|;)\s*(?:gene_name|Name|gene)[ =]"?([^";]+)'),
    "gene_id": re.compile(r'(?:^|;)\s*(?:gene_id|ID)[ =]"?(?:gene[:-])?([^";]+)'),
}


@dataclass(frozen=True)
class GenePositions(PeakPositions):
    """Coordinates of genes; a gene may have several rows, one for each transcript."""

    gene: np.ndarray
    """Position of the gene in the names asked for, ``(n_rows,)`` int64, increasing."""
    strand: np.ndarray
    """1, -1, or 0 where unknown, ``(n_rows,)`` int64."""

    @property
    def tss(self) -> np.ndarray:
        """Transcription start, ``(n_rows,)`` int64: the middle of a gene without a strand."""
        middle = (self.start + self.end) // 2
        return np.select([self.strand > 0, self.strand < 0], [self.start, self.end], middle)


def gene_positions(
    names: pd.Index,
    genes: GeneSource | None = None,
    *,
    var: pd.DataFrame | None = None,
    where: str = "mdata['rna']",
) -> GenePositions:
    """Return the coordinates of genes by name.

    Parameters
    ----------
    names
        Unique names of genes, ``(n_genes,)``.
    genes
        Table with the columns ``chrom``, ``start``, ``end`` and optionally ``strand`` (or usual
        other names of them, in upper or lower case), or ``interval`` as ``chr1:100-200``; gene
        names are the index or a column. Half-open coordinates from 0, as in BED. Or the path of a
        GTF or GFF file, whose rows of genes are read. None: `var`.
    var
        Annotation of the same genes in the same order, read like a table.
    where
        Name of the AnnData with the genes, in messages.

    Returns
    -------
    GenePositions
        Rows of the genes that have coordinates. Names match as written, else without Ensembl
        versions, else in any case. Genes without coordinates are counted in the log.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    KeyError
        If columns are missing.
    TypeError
        If `genes` is neither a table nor a path.
    ValueError
        If no gene has coordinates, or a gene ends before it starts.
    """
    if genes is None:
        table, place = (pd.DataFrame() if var is None else var), f"{where}.var"
        located = _coordinates(table, place, f"genes are not located in {place}")
        located["gene"] = np.arange(len(located))
    else:
        table, place = _table(genes)
        located = _coordinates(table, place, "the index or a column has the gene names")
        located["gene"] = _gene_of_rows(table, names, place, where)
    complete = located[_NEEDED].notna().all(axis=1) & (located["gene"] >= 0)
    located = located[complete.to_numpy()].sort_values("gene", kind="stable")
    n_found = located["gene"].nunique()
    if not n_found:
        msg = (
            f"Expected coordinates of genes of {where} ({examples(names)}), found none in {place}: "
            "all are missing. Pass genes=, a DataFrame or the path of a GTF file."
        )
        raise ValueError(msg)
    if n_found < len(names):
        text = "%d of %d genes of %s have no coordinates in %s and are left out."
        logger.info(text, len(names) - n_found, len(names), where, place)
    return _positions(located, place)


def _table(genes: GeneSource) -> tuple[pd.DataFrame, str]:
    """Return a table of genes and its name in messages."""
    if isinstance(genes, pd.DataFrame):
        return genes, "genes"
    if isinstance(genes, str | Path):
        return read_gtf(genes), str(genes)
    msg = (
        "Expected genes= as a DataFrame or the path of a GTF or GFF file, found a "
        f"{type(genes).__name__}. Pass a DataFrame with the columns {_NEEDED}."
    )
    raise TypeError(msg)


def read_gtf(path: str | Path) -> pd.DataFrame:
    """Return the genes of a GTF or GFF file, plain or ``.gz``.

    Returns
    -------
    pandas.DataFrame
        ``chrom``, ``start`` (from 0), ``end``, ``strand``, ``gene_name`` and ``gene_id``; names
        that a row lacks are missing values.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file has no row of a gene, or is incomplete.
    """
    path = Path(path)
    if not path.is_file():
        msg = (
            f"Expected a GTF or GFF file, found nothing at {str(path)!r}. Pass its path in genes=."
        )
        raise FileNotFoundError(msg)
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"  # names may be without .gz, or with it after unzipping
    try:
        with gzip.open(path, "rb") if zipped else path.open("rb") as file:
            # Most lines are exons; the test for the word is much faster than the pattern.
            found = [
                m.groups() for line in file if b"gene\t" in line and (m := _GTF_GENE.match(line))
            ]
    except (EOFError, gzip.BadGzipFile, zlib.error):
        msg = f"Expected a complete gzip file, found one that ends early: {str(path)!r}. Download it again."
        raise ValueError(msg) from None
    if not found:
        msg = (
            f"Expected rows of the feature 'gene' in {str(path)!r}, found none. Pass a GTF or GFF "
            f"file with genes, or a DataFrame with the columns {_NEEDED}."
        )
        raise ValueError(msg)
    columns = ["chrom", "start", "end", "strand", "attributes"]
    table = pd.DataFrame(found, columns=columns).map(lambda value: value.decode(errors="replace"))
    table["start"] = table["start"].astype(np.int64) - 1
    table["end"] = table["end"].astype(np.int64)
    for key, pattern in _GTF_KEYS.items():
        table[key] = table["attributes"].str.extract(pattern, expand=False)
    return table.drop(columns="attributes")


def _coordinates(table: pd.DataFrame, place: str, hint: str) -> pd.DataFrame:
    """Return ``chrom``, ``start``, ``end``, ``strand`` of each row; missing where unknown."""
    lower = {str(column).lower(): column for column in reversed(table.columns)}
    found = {
        name: next((lower[n] for n in usual if n in lower), None)
        for name, usual in _COLUMNS.items()
    }
    absent = [name for name in _NEEDED if found[name] is None]
    if not absent:
        parts = pd.DataFrame({name: table[found[name]].to_numpy() for name in _NEEDED})
    elif _INTERVAL in lower:
        text = table[lower[_INTERVAL]].astype("string").reset_index(drop=True)
        parts = text.str.extract(_INTERVAL_PARTS)
        for column in ("start", "end"):
            parts[column] = parts[column].str.replace(",", "")
    else:
        listed = [str(column) for column in table.columns]
        msg = (
            f"Expected columns {_NEEDED} (or {_INTERVAL!r}) in {place}, found {listed}, without "
            f"{absent}. Rename the columns, or pass genes=, a DataFrame with them or the path of "
            f"a GTF file; {hint}."
        )
        raise KeyError(msg)
    for column in ("start", "end"):
        parts[column] = pd.to_numeric(parts[column], errors="coerce")
    strand = table[found["strand"]].astype(str).to_numpy() if found["strand"] is not None else ""
    parts["strand"] = pd.Series(strand, index=parts.index).map(_STRANDS).fillna(0).astype(np.int64)
    parts["chrom"] = parts["chrom"].astype(object)
    return parts


def _gene_of_rows(table: pd.DataFrame, names: pd.Index, place: str, where: str) -> np.ndarray:
    """Return the gene of each row as a position in `names`, else -1, by the best column."""
    usual = {*_GENE_COLUMNS, *_ENSEMBL_COLUMNS}
    columns = [table[c] for c in table.columns if str(c).lower() in usual]
    best = np.full(len(table), -1)
    for column in (table.index.to_series(), *columns):
        text = column.astype(object)
        codes, found = pd.factorize(text.where(text.notna(), "").astype(str))
        matrix = match_genes(pd.Index(found), names).matrix.tocsr()
        of_name = np.full(len(found), -1)
        rows = np.diff(matrix.indptr) > 0
        of_name[rows] = matrix.indices
        if (of_name[codes] >= 0).sum() > (best >= 0).sum():
            best = of_name[codes]
    if (best < 0).all():
        looked = ", ".join(["the index", *(repr(str(column.name)) for column in columns)])
        shown = examples(columns[0].dropna().astype(str).tolist() if columns else table.index)
        msg = (
            f"Expected coordinates for genes of {where}.var_names ({examples(names)}) in {place}, "
            f"found none: it has {shown} (looked at {looked}). Use gene names as the index and "
            "check species and naming (symbols or Ensembl ids)."
        )
        raise ValueError(msg)
    return best


def _positions(located: pd.DataFrame, place: str) -> GenePositions:
    start, end = (located[column].to_numpy().astype(np.int64) for column in ("start", "end"))
    if (end < start).any():
        msg = (
            f"Expected genes that end after they start in {place}, found {(end < start).sum()} "
            "that do not. Swap their 'start' and 'end'; 'strand' has the direction."
        )
        raise ValueError(msg)
    codes, chromosomes = pd.factorize(located["chrom"].astype(str), sort=True)
    return GenePositions(
        codes.astype(np.int64),
        start,
        end,
        pd.Index(chromosomes, dtype=object),
        located["gene"].to_numpy().astype(np.int64),
        located["strand"].to_numpy(),
    )
