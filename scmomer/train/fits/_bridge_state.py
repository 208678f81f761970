"""State of the network that stage 3 sets, and that later training resets."""

from __future__ import annotations

import torch

from scmomer._constants import ATAC, PROTEIN, RNA
from scmomer.data import Cells, Split
from scmomer.module import ProteinModality, SCMOMERModule


@torch.no_grad()
def reset_bridge_fits(module: SCMOMERModule, cells: Cells, split: Split, seed: int) -> None:
    """Drop what was fitted after earlier training: it describes a network that changes now."""
    module.basis.copy_(torch.eye(len(module.basis)))
    if module.paired and {RNA, ATAC} <= cells.counts.keys():  # else nothing can fit it again
        module.even_depth.zero_()
    if module.refines is not None:
        module.refines.fill_(False)
    protein = module.kinds().get(PROTEIN)
    if isinstance(protein, ProteinModality) and PROTEIN in cells.counts:
        protein.log_shift.zero_()


def start_refining(module: SCMOMERModule, cells: Cells, split: Split, seed: int) -> None:
    """Let fusion read the refined source embedding from now on."""
    if module.refines is not None:
        module.refines.fill_(True)


def record_co_measured(module: SCMOMERModule, cells: Cells, split: Split, seed: int) -> None:
    """Record which of three modalities training cells have together."""
    if module.co_measured is None:
        return
    for i, one in enumerate(module.fused_modalities):
        for j, other in enumerate(module.fused_modalities):
            if {one, other} <= cells.counts.keys():  # else as the model that this one began with
                module.co_measured[i, j] = bool(cells.has_all(one, other)[split[0]].any())
