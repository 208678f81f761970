"""Names of perturbations, in the spellings of GEARS, scPerturb, pertpy and cell-eval."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from scmomer.data import as_text, examples, warn
from scmomer.tasks.perturbation.screen._gene_names import other_symbols

logger = logging.getLogger(__name__)

Control = str | Sequence[str] | None
#: What ``astype(str)`` makes of missing values; all are labels if they are named as control.
_MISSING: Final = frozenset({"", "nan", "NaN", "<NA>", "None"})
#: Between parts of a combination if no label has ``"+"``.
SEPARATORS: Final = ("_", ",", ";", "|", "&")
#: Usual names of the control, in lower case and without separators.
USUAL_CONTROLS: Final = frozenset(
    {
        *("ctrl", "control", "nt", "ntc", "nontargeting", "nontarget", "negctrl", "negcontrol"),
        *("negativecontrol", "unperturbed", "safetargeting", "scrambled", "mock", "dmso"),
        *("vehicle", "untreated", "unstimulated", "nontargetingcontrol", "scramble"),
    }
)
_GUIDE: Final = re.compile(r"(?:g|[-_. ](?:sg|g|guide|grna|sgrna)?)\d+$")
_GUIDE_SHARE: Final = 0.5  # of labels with a sibling guide, above which labels are guides


class Perturbations(NamedTuple):
    """What was done to each cell."""

    names: np.ndarray
    """Parts in alphabetical order, joined by ``"+"``; ``""`` for control cells, ``(n_cells,)``."""
    parts: dict[str, tuple[str, ...]]
    """Parts of each name but the control's, in alphabetical order of names."""
    controls: tuple[str, ...]
    """Labels of control cells."""

    @property
    def is_control(self) -> np.ndarray:
        """Whether each cell is a control, bool ``(n_cells,)``."""
        return self.names == ""


def parse_perturbations(
    labels: pd.Series | Sequence[object],
    control: Control = None,
    *,
    separator: str | None = None,
    place: str = "labels",
) -> Perturbations:
    """Read labels of perturbed cells.

    ``"A+ctrl"``, ``"ctrl+A"`` and ``"A"`` are one perturbation, and so are ``"A+B"`` and
    ``"B+A"``; ``"ctrl"``, ``"control"``, ``"NT"`` and ``"non-targeting"`` in any case are controls.

    Parameters
    ----------
    labels
        Label of each cell, ``(n_cells,)``.
    control
        Label or labels of control cells; None: those that are usual names of controls. A usual name
        beside a gene, as in ``"A+ctrl"``, is never a part.
    separator
        Between parts; None: ``"+"``, or one of ``_ , ; | &`` if no label has ``"+"`` and most parts
        around it (``"_"`` in scPerturb) are labels of their own.
    place
        Name of `labels` in messages.

    Returns
    -------
    Perturbations
        Names of cells, parts of names, and labels of control.

    Raises
    ------
    ValueError
        If a label is missing (NaN), no cell is a control or none is perturbed, or labels are guides.
    """
    column = _as_labels(labels, control, place)
    codes, uniques = pd.factorize(column)
    found = [str(label) for label in uniques]
    _check_guides([label for label in found if "+" not in label], place)
    named = _named_controls(control, found, place)
    between = separator or _separator(found)
    parts = {label: _parts(label, named, between) for label in found}
    controls = tuple(sorted(label for label in found if not parts[label]))
    if not controls:
        raise ValueError(_no_control(found, control, place))
    perturbed = sorted({p for p in parts.values() if p})
    if not perturbed:
        msg = (
            f"Expected perturbed cells in {place}, found only the control {list(controls)}. Pass "
            "data with perturbed cells, or check the name of the column."
        )
        raise ValueError(msg)
    _warn_other_controls(named, controls, place)
    _warn_same_genes({part for some in perturbed for part in some}, place)
    names = np.array(["+".join(parts[label]) for label in found], dtype=object)
    by_name = {"+".join(p): p for p in perturbed}
    return Perturbations(names[codes], dict(sorted(by_name.items())), controls)


def find_controls(
    labels: pd.Series | Sequence[object], control: Control = None, *, place: str = "labels"
) -> np.ndarray:
    """Return which cells are controls, bool ``(n_cells,)``; no other cell need be there.

    Parameters
    ----------
    labels, control, place
        As in :func:`parse_perturbations`.

    Raises
    ------
    ValueError
        If a label is missing (NaN), or no cell is a control.
    """
    column = _as_labels(labels, control, place)
    found = [str(label) for label in column.unique()]
    named = _named_controls(control, found, place)
    controls = tuple(label for label in found if not _parts(label, named, "+"))
    if not controls:
        raise ValueError(_no_control(found, control, place))
    _warn_other_controls(named, controls, place)
    return column.isin(controls).to_numpy()


def control_names(control: Control) -> frozenset[str]:
    """Return the labels of `control` as text."""
    if control is None:
        return frozenset()
    one = isinstance(control, str) or not isinstance(control, Iterable)
    return frozenset(as_text(label) for label in ([control] if one else control))


def read_parts(
    perturbation: str | Iterable[str],
    separator: str = "+",
    controls: Collection[str] = frozenset(),
) -> tuple[str, ...]:
    """Return the parts of one perturbation in alphabetical order: of ``"B+A"`` or ``("B", "A")``.

    Parameters
    ----------
    perturbation
        Its name, or the names of its parts.
    separator
        Between parts.
    controls
        Further names of the control, which is no part.

    Raises
    ------
    ValueError
        If nothing but a control is named.
    """
    several = isinstance(perturbation, Iterable) and not isinstance(perturbation, str)
    pieces: list[Any] = list(perturbation) if several else [perturbation]
    missing = any(np.ndim(piece) == 0 and pd.isna(piece) for piece in pieces)
    text = separator.join(as_text(piece) for piece in pieces)
    parts = () if missing else _parts(text, frozenset(controls), separator)
    if not parts:
        msg = f"Expected a perturbation, found {perturbation!r}. Name a gene, as in 'A' or 'A+B'."
        raise ValueError(msg)
    return parts


def is_usual_control(label: str) -> bool:
    """Whether a label is a usual name of the control, or of one of its guides (``"NT_3"``)."""
    names = (label, _GUIDE.sub("", label))
    return any(re.sub(r"[-_ .]", "", name).lower() in USUAL_CONTROLS for name in names)


def _parts(label: str, controls: frozenset[str] | set[str], separator: str) -> tuple[str, ...]:
    """Return the parts of a label that are not the control, none for the control."""
    if label in controls or is_usual_control(label):
        return ()
    pieces = {piece.strip() for piece in label.split(separator)}
    kept = (p for p in pieces if p and p not in controls and not is_usual_control(p))
    return tuple(sorted(kept))


def _named_controls(control: Control, found: list[str], place: str) -> frozenset[str]:
    """Return the labels that the user named as control."""
    named = control_names(control)
    if absent := sorted(one for one in named if one not in found):
        usual = [label for label in found if is_usual_control(label)]
        remedy = f"Pass control={usual[0]!r}." if usual else f"It has {examples(found)}."
        msg = f"Expected control cells {absent} in {place}, found none. {remedy}"
        raise ValueError(msg)
    return named


def _as_labels(labels: pd.Series | Sequence[object], control: Control, place: str) -> pd.Series:
    """Return labels as text without blanks around it; raise if one is missing."""
    column = pd.Series(labels).reset_index(drop=True)
    if missing := int(column.isna().sum()):
        msg = (
            f"Expected a perturbation for every cell in {place}, found {missing} of {len(column)} "
            "missing (NaN). Leave these cells out: `adata = adata[adata.obs[key].notna()].copy()`."
        )
        raise ValueError(msg)
    column = column.astype(object).map(as_text).str.strip()
    none = sorted((set(column.unique()) & _MISSING) - control_names(control))
    if none:
        msg = (
            f"Expected a perturbation for every cell in {place}, found {none} in "
            f"{int(column.isin(none).sum())} of {len(column)}, as missing values are written. Leave "
            f"these cells out: `adata = adata[~adata.obs[key].isin({none})].copy()`, or name them: "
            f"control={none[0]!r}."
        )
        raise ValueError(msg)
    return column


def _warn_other_controls(named: frozenset[str], controls: Sequence[str], place: str) -> None:
    """Warn if cells are controls by their name alone although others were named."""
    others = [label for label in controls if label not in named]
    if named and others:
        warn(
            f"Cells labeled {examples(others)} in {place} are read as controls too, beside "
            f"control={sorted(named)}: these are usual names of controls. If they are none, leave "
            "them out or rename them."
        )


def _warn_same_genes(names: Collection[str], place: str) -> None:
    """Warn if a gene has two names, which are read as two perturbations."""
    of: dict[str, list[str]] = {}
    for name in sorted(names):
        of.setdefault(max(one.upper() for one in (name, *other_symbols(name))), []).append(name)
    if twice := [same for same in of.values() if len(same) > 1]:
        warn(
            f"{len(twice)} genes have several names in {place}, such as {examples(twice[0])}, and are "
            "read as different perturbations. Give each gene one name."
        )


def _separator(found: list[str]) -> str:
    """Return what is between parts."""
    if any("+" in label for label in found):
        return "+"
    for separator in SEPARATORS:
        plain = {label for label in found if separator not in label}
        joined = [
            piece.strip()
            for label in found
            if separator in label and not is_usual_control(label)
            for piece in label.split(separator)
        ]
        known = sum(piece in plain or is_usual_control(piece) for piece in joined)
        if joined and 2 * known >= len(joined):
            return separator
    return "+"


def _no_control(found: list[str], control: Control, place: str) -> str:
    named = "" if control is None else f" {control!r}"
    return (
        f"Expected control cells{named} in {place}, found none among its {len(found)} labels, such "
        f"as {examples(sorted(found))}. Name them: control='...'. Without unperturbed cells there "
        "is no change to learn."
    )


def _check_guides(labels: list[str], place: str) -> None:
    """Raise if most labels are guides, several of each gene."""
    stems = pd.Series([_GUIDE.sub("", label) for label in labels], labels)
    is_guide = (stems != stems.index) & stems.duplicated(keep=False)
    if len(labels) < 2 or is_guide.mean() <= _GUIDE_SHARE:
        return
    msg = (
        f"Expected perturbed genes in {place}, found {len(labels)} guides of {stems.nunique()} "
        f"genes, such as {examples(list(is_guide.index[is_guide]))}. Pass the column with genes, "
        "or cut the numbers of guides: `adata.obs['target'] = "
        rf"adata.obs[key].astype(str).str.replace(r'{_GUIDE.pattern}', '', regex=True)`."
    )
    raise ValueError(msg)
