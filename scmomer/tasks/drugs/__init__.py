"""Response of cells to drugs."""

from scmomer.tasks.drugs._graphs import MoleculeGraphs, molecule_graphs
from scmomer.tasks.drugs._molecules import Molecules, read_molecules
from scmomer.tasks.drugs._networks import (
    GraphEncoder,
    PublishedDrugResponse,
    SynergyNetwork,
    import_torch_geometric,
)
from scmomer.tasks.drugs._rdkit import import_rdkit

__all__ = [
    "GraphEncoder",
    "MoleculeGraphs",
    "Molecules",
    "PublishedDrugResponse",
    "SynergyNetwork",
    "import_rdkit",
    "import_torch_geometric",
    "molecule_graphs",
    "read_molecules",
]
