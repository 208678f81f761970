"""Names of perturbations in one spelling."""

from __future__ import annotations

from collections.abc import Sequence


def canonical(label: str, controls: Sequence[str], control: str) -> str:
    """Return ``"A+B"`` with sorted parts, without controls among them; `control` if none is left.

    Parameters
    ----------
    label
        As in the data: ``"B+A"``, ``"A+ctrl"``.
    controls
        What marks controls there.
    control
        What controls are called here.
    """
    if label in controls:
        return control
    parts = [part.strip() for part in label.split("+")]
    kept = sorted(part for part in parts if part and part not in {*controls, "ctrl"})
    return "+".join(kept) if kept else control
