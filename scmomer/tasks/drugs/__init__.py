"""Response of cell lines to drugs, and synergy of drugs: tables, molecules, splits, models."""

from scmomer.tasks.drugs.molecules._graphs import MoleculeGraphs, molecule_graphs
from scmomer.tasks.drugs.molecules._molecules import Molecules, read_molecules
from scmomer.tasks.drugs.molecules._networks import (
    GraphEncoder,
    PublishedDrugResponse,
    import_torch_geometric,
)
from scmomer.tasks.drugs.molecules._rdkit import import_rdkit
from scmomer.tasks.drugs.response._model import DrugResponseModel
from scmomer.tasks.drugs.synergy._model import DrugSynergyModel
from scmomer.tasks.drugs.synergy._naive import NaiveSynergy
from scmomer.tasks.drugs.synergy._network import SynergyEntities, SynergyNetwork
from scmomer.tasks.drugs.tables._line_names import match_line_names
from scmomer.tasks.drugs.tables._splits import Fold, ResponseSplit, check_disjoint, folds
from scmomer.tasks.drugs.tables._synergy_splits import SynergyFold, SynergySplit, synergy_folds
from scmomer.tasks.drugs.tables._synergy_table import SynergyTable, read_synergy
from scmomer.tasks.drugs.tables._synonyms import Synonyms, drug_keys, match_drug_names
from scmomer.tasks.drugs.tables._tables import ResponseTable, read_response
from scmomer.tasks.drugs.tables._thresholds import read_thresholds
from scmomer.tasks.drugs.tables._units import Units

__all__ = [
    "DrugResponseModel",
    "DrugSynergyModel",
    "Fold",
    "GraphEncoder",
    "MoleculeGraphs",
    "Molecules",
    "NaiveSynergy",
    "PublishedDrugResponse",
    "ResponseSplit",
    "ResponseTable",
    "SynergyEntities",
    "SynergyFold",
    "SynergyNetwork",
    "SynergySplit",
    "SynergyTable",
    "Synonyms",
    "Units",
    "check_disjoint",
    "drug_keys",
    "folds",
    "import_rdkit",
    "import_torch_geometric",
    "match_drug_names",
    "match_line_names",
    "molecule_graphs",
    "read_molecules",
    "read_response",
    "read_synergy",
    "read_thresholds",
    "synergy_folds",
]
