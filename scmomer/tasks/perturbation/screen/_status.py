"""What the training perturbations tell of a perturbation."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def status(
    parts: tuple[str, ...],
    training_parts: Iterable[tuple[str, ...]],
    in_graph: Collection[str] | None = None,
) -> str:
    """Return how much of a perturbation was seen in training.

    Parameters
    ----------
    parts
        Perturbed genes, or other names.
    training_parts
        Those of the training perturbations.
    in_graph
        Names about which something is known beside the screen, such as genes of gene sets; None:
        all.

    Returns
    -------
    str
        ``"seen"``; ``"out_of_graph"`` if a part was not seen alone and is not in `in_graph`;
        ``"unseen_single"``; or ``"combo_seen0"``, ``"combo_seen1"``, ``"combo_seen2"``: the
        number of parts of the combination that were seen alone.
    """
    training = {tuple(sorted(p)) for p in training_parts}
    if tuple(sorted(parts)) in training:
        return "seen"
    seen = [(part,) in training for part in parts]
    if in_graph is not None and any(
        not known and part not in in_graph for part, known in zip(parts, seen, strict=True)
    ):
        return "out_of_graph"
    return f"combo_seen{sum(seen)}" if len(parts) > 1 else "unseen_single"
