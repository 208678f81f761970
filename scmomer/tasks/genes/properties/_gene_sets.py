"""Sets of genes from GMT files."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeAlias

GeneSets: TypeAlias = str | Path | Mapping[str, Collection[str]]


def read_gene_sets(sets: GeneSets, argument: str) -> dict[str, list[str]]:
    """Return the genes of each term.

    Parameters
    ----------
    sets
        Mapping from terms to genes, or a GMT file (``.gmt`` or ``.gmt.gz``): term, description and
        genes of a term in one line, separated by tabs.
    argument
        Name of the argument, for messages.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a line has no genes, or there is no term.
    """
    if isinstance(sets, Mapping):
        if text := [term for term, genes in sets.items() if isinstance(genes, str)]:
            msg = (
                f"Expected a list of genes for each term of {argument}, found text for {text[0]!r}. "
                f"Pass {{{str(text[0])!r}: [...]}}."
            )
            raise TypeError(msg)
        terms = {str(term): [str(gene) for gene in genes] for term, genes in sets.items()}
    elif isinstance(sets, str | Path):
        terms = _read_gmt(Path(sets), argument)
    else:
        msg = (
            f"Expected {argument} as a GMT file or a mapping from terms to genes, found "
            f"{type(sets).__name__}. Pass a path, or {{'term': ['A', 'B']}}."
        )
        raise TypeError(msg)
    if not terms:
        msg = f"Expected sets of genes in {argument}, found none. Pass a GMT file or a mapping."
        raise ValueError(msg)
    return terms


def _read_gmt(path: Path, argument: str) -> dict[str, list[str]]:
    if not path.is_file():
        msg = f"There is no file {str(path)!r} ({argument}). Pass the path of a GMT file."
        raise FileNotFoundError(msg)
    raw = path.read_bytes()
    try:
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        msg = (
            f"Expected a whole GMT file in UTF-8, found {path.name}, which cannot be read ({error}). "
            "Download it again, or save it as UTF-8."
        )
        raise ValueError(msg) from error
    terms = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        term, *rest = line.split("\t")
        if len(rest) < 2:
            msg = (
                f"Expected a term, a description and genes, separated by tabs, in line {number} of "
                f"{path.name}, found {line[:60]!r}. Pass a GMT file."
            )
            raise ValueError(msg)
        terms[term] = [gene for gene in rest[1:] if gene]
    return terms
