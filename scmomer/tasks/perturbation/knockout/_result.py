"""What knockouts in a trained model give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from scmomer.tasks.perturbation.knockout._readouts import FeatureReadout
from scmomer.tasks.perturbation.knockout._scores import TOWARDS


@dataclass(frozen=True)
class Knockout:
    """Effects of genes that were silenced, or highly expressed, in a trained model."""

    table: pd.DataFrame
    """A row for each gene and group; see :func:`scmomer.tl.knockout`."""
    features: pd.DataFrame
    """Genes, peaks and proteins that change most; see :func:`scmomer.tl.knockout`."""
    genes: pd.Index
    """``(n_genes,)``"""
    groups: pd.Index
    """``(n_groups,)``"""
    shift: np.ndarray
    """Mean shift of the fused embedding, in the units of ``obsm["X_scmomer"]``, background removed,
    ``(n_genes, n_groups, n_latent)`` float32; NaN without a background."""
    params: dict[str, Any]
    """Arguments."""
    latents: np.ndarray
    """Mean shift as computed, of all that decoders read, ``(n_genes, n_groups, width)``."""
    readouts: tuple[FeatureReadout, ...]

    def rank(
        self, by: str = "embedding_z", group: str | None = None, *, ascending: bool = False
    ) -> pd.DataFrame:
        """Return the table ranked by a score.

        Genes beyond the expression of the genes they are compared with (``outside``) come after the
        others, rows without the score last.

        Parameters
        ----------
        by
            A column of scores, such as ``"accessibility_z"`` or ``"towards"``.
        group
            Rows of one group; None for all.
        ascending
            From small to large: away from a wanted state, for ``"towards"``.

        Raises
        ------
        KeyError
            If there is no such column.
        ValueError
            If there is no such group.
        """
        if by not in self.table or not pd.api.types.is_float_dtype(self.table[by]):
            known = [c for c in self.table if c.endswith("_z")]
            hint = " Pass towards= to knockout() for that score." if by.startswith(TOWARDS) else ""
            msg = f"Expected by= as a score such as {known}, found {by!r}. Name one of them.{hint}"
            raise KeyError(msg)
        table = self.table
        if group is not None:
            if group not in self.groups:
                msg = (
                    f"Expected group among {list(self.groups)}, found {group!r}. Name one of them, "
                    "or None for all."
                )
                raise ValueError(msg)
            table = table[table["group"] == group]
        table = table.sort_values(by, ascending=ascending, kind="stable", na_position="last")
        last = np.where(table[by].isna(), 2, table["outside"].astype(int))
        return table.iloc[np.argsort(last, kind="stable")].reset_index(drop=True)

    def changes(self, gene: str, modality: str = "rna") -> pd.DataFrame:
        """Return the change of every feature, features x groups, background not removed.

        Parameters
        ----------
        gene
            A gene that was knocked out.
        modality
            ``"rna"``: log2 expression; ``"atac"``: log odds of being open; ``"protein"``: natural
            log of the expected count.

        Raises
        ------
        KeyError
            If the gene was not knocked out, or the model lacks the modality.
        """
        found = {r.modality: r for r in self.readouts}
        for name, value, known in (
            ("gene", gene, list(self.genes)),
            ("modality", modality, list(found)),
        ):
            if value not in known:
                shown = ", ".join(map(repr, known[:10])) + (" ..." if len(known) > 10 else "")
                msg = f"Expected {name} among {shown}, found {value!r}. Name one of them."
                raise KeyError(msg)
        readout = found[modality]
        shift = self.latents[self.genes.get_loc(gene)]  # (n_groups, width)
        return pd.DataFrame(readout.weights @ shift.T, readout.names, self.groups)

    def __repr__(self) -> str:
        """Return sizes."""
        return (
            f"Knockout of {len(self.genes)} genes (mode {self.params['mode']!r}) in "
            f"{len(self.groups)} groups: table {self.table.shape}, features {self.features.shape}"
        )
