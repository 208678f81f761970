"""Training of synergy: networks, their weight against the naive prediction, errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from scmomer.metrics import drug_synergy
from scmomer.tasks.drugs._cell_profiles import ProfileReader
from scmomer.tasks.drugs.molecules._networks import GraphEncoder
from scmomer.tasks.drugs.synergy._inputs import DrugInputs, Subjects, SynergyInputs
from scmomer.tasks.drugs.synergy._naive import NaiveSynergy
from scmomer.tasks.drugs.synergy._network import SynergyEntities, SynergyNetwork
from scmomer.tasks.drugs.synergy._noise import SynergyNoise
from scmomer.tasks.drugs.tables._synergy_splits import synergy_folds
from scmomer.tasks.drugs.tables._synergy_table import SynergyTable

logger = logging.getLogger(__name__)

NewIn = Literal["pairs", "drugs", "lines"]
"""What predictions are for: new pairs of known drugs, new drugs, new lines."""


@dataclass(frozen=True)
class SynergyConfig:
    """Sizes and schedule of :class:`scmomer.DrugSynergyModel`."""

    n_members: int = 3
    """Networks of a training; those that were validated are added where they have seen the same
    drugs and lines."""
    max_epochs: int = 30
    batch_size: int = 1024
    lr: float = 4e-3
    weight_decay: float = 0.01
    width_drug: int = 64
    width_cell: int = 32
    hidden: int = 256
    dropout: float = 0.2
    input_dropout: float = 0.3
    id_dropout: float = 0.3
    """Of drugs, or lines, if such are new in prediction: how often one of training is as if new."""
    validation_share: float = 0.15
    """Of pairs, drugs or lines, held out to find the weight of the networks and the errors."""
    alpha: float = 3.0
    """Penalty of the naive prediction."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Member:
    """Networks of one training, with their scales."""

    inputs: SynergyInputs
    networks: list[SynergyNetwork]
    units: list[tuple[float, float]]
    """Mean and standard deviation of what each network learned from."""
    seen: tuple[np.ndarray, np.ndarray]
    """Numbers of drugs and lines with vectors of their own."""

    def joined(self, other: Member) -> Member:
        """Return the networks of both, which have the same inputs and have seen the same."""
        units = self.units + other.units
        return Member(self.inputs, self.networks + other.networks, units, self.seen)


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedSynergy:
    """Everything but the embedding model that prediction needs."""

    model_id: str | None
    reader: ProfileReader
    """How cells are read."""
    new: NewIn
    config: SynergyConfig
    drugs: pd.Index
    lines: pd.Index
    smiles: np.ndarray
    fingerprints: np.ndarray
    cells: np.ndarray
    """Features of the lines of training, float32 ``(n_lines, n_cell)``; 0 for lines without."""
    ensemble: Member
    naive: NaiveSynergy
    weight: float
    """Of the networks against the naive prediction, 0 to 1."""
    noise: SynergyNoise
    validation: dict[str, dict[str, float]]
    """Scores of held-out rows: ``"naive"``, ``"networks"`` and ``"mixed"``."""

    def predict_parts(
        self, subjects: Subjects, rows: np.ndarray, cells: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return naive predictions ``(n,)`` and those of networks ``(n_members, n)``."""
        known = np.stack(
            [subjects.drug_ids[rows[:, 0]], subjects.drug_ids[rows[:, 1]]]
            + [subjects.cell_ids[rows[:, 2]]],
            axis=1,
        )
        return self.naive.predict(known), run_networks(self.ensemble, subjects, rows, cells)


def fit_synergy(
    table: SynergyTable,
    rows: np.ndarray,
    subjects: Subjects,
    config: SynergyConfig,
    *,
    drug_inputs: DrugInputs,
    reader: ProfileReader,
    new: NewIn,
    seed: int,
) -> FittedSynergy:
    """Fit to some rows of a table.

    Parameters
    ----------
    table
        Synergies.
    rows
        Rows to read, int ``(n,)``; the others have no influence.
    subjects
        Drugs and lines of the table, in its order.
    config
        Sizes and schedule.
    drug_inputs
        What is read of drugs.
    reader
        How cells were read.
    new
        What is held out to find the weight of networks and the errors.
    seed
        Seed of everything random.
    """
    used = _some_rows(table, rows)
    triples = np.stack([used.drug_a, used.drug_b, used.line], axis=1)

    inputs = SynergyInputs.fit(subjects, triples, drug_inputs)

    def train(part: np.ndarray, seed: int) -> tuple[Member, NaiveSynergy]:
        x, y, n = triples[part], used.value[part], (len(used.drugs), len(used.lines))
        member = train_networks(subjects, x, y, config, inputs, new, seed)
        return member, NaiveSynergy.fit(x, y, *n, alpha=config.alpha)

    share = config.validation_share
    fold = next(synergy_folds(used, new, test_share=share, validation_share=0.0, seed=seed))
    member, naive = train(fold.train, 2 * seed)
    held, observed = triples[fold.test], used.value[fold.test]
    weighed = _weigh(
        observed, naive.predict(held), run_networks(member, subjects, held), member.units[0][0]
    )
    _report(new, weighed)
    ensemble, naive = train(np.arange(len(used.value)), 2 * seed + 1)
    if all(map(np.array_equal, member.seen, ensemble.seen)):
        # Networks that were trained to be validated are as good as the others, and there already.
        ensemble = ensemble.joined(member)
    return FittedSynergy(
        model_id=None if reader.embedding_model is None else reader.embedding_model.id,
        reader=reader,
        new=new,
        config=config,
        drugs=table.drugs,
        lines=table.lines,
        smiles=subjects.smiles,
        fingerprints=subjects.fingerprints,
        cells=ensemble.inputs.cell_features(subjects.blocks),
        ensemble=ensemble,
        naive=naive,
        **weighed._asdict(),
    )


class _Weighed(NamedTuple):
    """What held-out rows tell."""

    weight: float
    noise: SynergyNoise
    validation: dict[str, dict[str, float]]


def _weigh(
    observed: np.ndarray, naive: np.ndarray, networks: np.ndarray, center: float
) -> _Weighed:
    """Return weight, errors and scores, from held-out rows; `networks` are ``(n_members, n)``."""
    weight = best_weight(observed, naive, networks.mean(axis=0))
    mixed, spread = mix(naive, networks, weight)
    noise = SynergyNoise.fit(observed, mixed, spread, center)
    scores = {"naive": naive, "networks": networks.mean(axis=0), "mixed": mixed}
    return _Weighed(weight, noise, {k: drug_synergy(observed, v) for k, v in scores.items()})


def _some_rows(table: SynergyTable, rows: np.ndarray) -> SynergyTable:
    fold = None if table.fold is None else table.fold[rows]
    parts = (table.drug_a[rows], table.drug_b[rows], table.line[rows], table.value[rows])
    return SynergyTable(table.drugs, table.lines, *parts, fold, 0)


def _report(new: NewIn, weighed: _Weighed) -> None:
    shown = ", ".join(
        f"{name} r {s['pearson']:.3f} RMSE {s['rmse']:.2f}"
        for name, s in weighed.validation.items()
    )
    if weighed.weight == 0:
        logger.info(
            "Networks are no better than the naive prediction on held-out %s (%s): predictions are "
            "the naive ones (effects of drugs, lines, and drugs in lines).",
            *(new, shown),
        )
    else:
        logger.info("Networks have weight %.2f, from held-out %s: %s.", weighed.weight, new, shown)


def best_weight(observed: np.ndarray, naive: np.ndarray, networks: np.ndarray) -> float:
    """Return the weight of networks, 0 to 1, with the least squared error; all ``(n,)``."""
    difference = networks - naive
    square = float(difference @ difference)
    return float(np.clip(difference @ (observed - naive) / square, 0, 1)) if square > 0 else 0.0


def mix(naive: np.ndarray, networks: np.ndarray, weight: float) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions and the spread of members, both ``(n,)``.

    Parameters
    ----------
    naive
        Naive predictions, ``(n,)``.
    networks
        Predictions of each network, ``(n_members, n)``.
    weight
        Of networks.
    """
    values = naive + weight * (networks.mean(axis=0) - naive)
    return values, weight * networks.std(axis=0)


def train_networks(
    subjects: Subjects,
    rows: np.ndarray,
    values: np.ndarray,
    config: SynergyConfig,
    inputs: SynergyInputs,
    new: NewIn,
    seed: int,
) -> Member:
    """Train networks on rows ``(n, 3)`` with values ``(n,)``."""
    seen = np.unique(rows[:, :2]), np.unique(rows[:, 2])
    entities = inputs.entities(subjects, seen)
    center, scale = float(values.mean()), float(values.std()) or 1.0
    x = torch.from_numpy(rows)
    y = torch.from_numpy(((values - center) / scale).astype(np.float32))
    networks = []
    with one_thread():
        for number in range(config.n_members):
            torch.manual_seed(1000 * seed + number)
            sizes = len(subjects.smiles), len(subjects.cell_ids)
            network = make_network(inputs, *sizes, config, new)
            _train(network, entities, x, y, config)
            networks.append(network.eval())
    return Member(inputs, networks, [(center, scale)] * len(networks), seen)


def make_network(
    inputs: SynergyInputs, n_drugs: int, n_lines: int, config: SynergyConfig, new: NewIn
) -> SynergyNetwork:
    """Return an untrained network."""
    encoder = None
    if inputs.has_graphs:
        encoder = GraphEncoder(hidden=(128, 128), n_out=64, dropout=0.1)
    return SynergyNetwork(
        len(inputs.bits),
        inputs.n_cell,
        n_drug_ids=n_drugs,
        n_cell_ids=n_lines,
        encoder=encoder,
        width_drug=config.width_drug,
        width_cell=config.width_cell,
        hidden=(config.hidden, config.hidden),
        head=(config.hidden,),
        input_dropout=config.input_dropout,
        dropout=config.dropout,
        drug_id_dropout=config.id_dropout if new == "drugs" else 0.0,
        cell_id_dropout=config.id_dropout if new == "lines" else 0.0,
    )


def _train(
    network: SynergyNetwork,
    entities: SynergyEntities,
    rows: torch.Tensor,
    values: torch.Tensor,
    config: SynergyConfig,
) -> None:
    size = min(config.batch_size, len(rows))
    n_steps = config.max_epochs * -(-len(rows) // size)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.lr, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.lr, total_steps=n_steps, pct_start=0.1
    )
    network.train()
    for _ in range(config.max_epochs):
        for batch in torch.randperm(len(rows)).split(size):
            loss = nn.functional.mse_loss(network(entities, rows[batch]), values[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def run_networks(
    member: Member, subjects: Subjects, rows: np.ndarray, cells: np.ndarray | None = None
) -> np.ndarray:
    """Return predictions of each network, float64 ``(n_members, n)``."""
    entities = member.inputs.entities(subjects, member.seen, cells)
    x = torch.from_numpy(np.asarray(rows, np.int64))
    with one_thread():
        found = [
            center + scale * network.predict(entities, x).numpy().astype(np.float64)
            for network, (center, scale) in zip(member.networks, member.units, strict=True)
        ]
    return np.stack(found)


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread and keep the state of random numbers: small networks train no faster on more.

    Results then do not depend on the number of cores either.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)
