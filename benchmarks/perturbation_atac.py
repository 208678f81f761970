"""Change of accessibility by perturbations of two genes that were never done, from expression.

    python benchmarks/perturbation_atac.py [--seeds 0 1 2] [--models DIR] [--json PATH]

A made-up screen of RNA and ATAC (``_perturbation_synthetic.py``) with 14 single perturbations and 30
pairs, 10 of which are held out with all their cells. scMomer is trained on all other cells.
For each held-out pair, the Pearson correlation of predicted and measured change of mean
accessibility (of the pair's cells, against one half of the controls) over the 50 peaks that change
most. Predictions use the other half of the controls, so that noise of shared controls does not count.

- *scMomer, predicted expression*: the additive change of expression of both singles, applied to
  control cells and translated, controls subtracted (``tl.perturb_atac(predicted=)``).
- *scMomer, measured expression*: RNA of the held-out cells, translated; ATAC was never seen.
- *additive*: sum of the measured changes of accessibility of both singles.
- *additive, 10 components*: the same of changes that are projected on the leading components of all
  training changes. It shares what scMomer has beside single profiles: other perturbations.
- *additive, noiseless singles*: the sum of true changes, which no one has: what addition misses
  without any noise.
- *matching mean*: half of the sum, as in Systema; the correlation is the same as that of the sum.
- *training mean*: mean change of all training perturbations.
- *distance*: peaks near both genes close; the decay is fitted to the singles.

*truth* columns have the noiseless change in place of the measured one, over its own top 50 peaks.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scvi
from _measure import machine, versions
from _perturbation_synthetic import CONTROL, Screen, simulate
from _report import write_report
from anndata import AnnData

import scmomer

N_HELD_OUT, N_TOP, N_COMPONENTS = 10, 50, 10
DECAYS = (10_000, 30_000, 100_000)  # base pairs
OURS, MEASURED = "scMomer, predicted expression", "scMomer, measured expression"
ADDITIVE, ORACLE = "additive", "additive, noiseless singles"


def profiles(matrix: Any, labels: np.ndarray) -> pd.DataFrame:
    """Return the mean of each perturbation, ``(n_perturbations, n_features)``."""
    names = sorted(set(labels))
    means = [np.asarray(matrix[labels == name].mean(0)).ravel() for name in names]
    return pd.DataFrame(np.stack(means), index=names)


def top_r(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Return the correlation over the features that truly change most; 0 for no change."""
    top = np.argsort(-np.abs(truth))[:N_TOP]
    if np.ptp(predicted[top]) == 0:
        return 0.0
    return float(np.corrcoef(predicted[top], truth[top])[0, 1])


def trained(screen: Screen, cells: np.ndarray, seed: int, args: argparse.Namespace) -> Any:
    """Return a model of some cells of a screen, read from ``--models`` if it is there."""
    path = None if args.models is None else args.models / f"screen_{seed}.scmomer"
    if path is not None and path.exists():
        return scmomer.load(path)
    scvi.settings.seed = seed
    mdata = screen.mdata[cells].copy()
    scmomer.pp.setup_mudata(mdata)
    model = scmomer.SCMOMER(mdata)
    model.train(max_epochs=args.max_epochs, enable_progress_bar=False)
    if path is not None:
        model.save(path)
    return model


def log_profiles(counts: Any, labels: np.ndarray) -> pd.DataFrame:
    """Return mean ``log1p`` of counts at the median total."""
    total = np.asarray(counts.sum(1)).ravel()
    scaled = counts.multiply(np.median(total) / np.maximum(total, 1)[:, None]).tocsr()
    return profiles(scaled.log1p(), labels)


def expected_rna(
    screen: Screen, labels: np.ndarray, train: np.ndarray, pairs: list[str]
) -> AnnData:
    """Return additive pseudobulks of pairs, as ``tl.perturb`` gives them."""
    means = log_profiles(screen.mdata["rna"].X[train], labels[train])
    change = means - means.loc[CONTROL]
    sums = np.stack([change.loc[pair.split("+")].sum(0) for pair in pairs])
    after = np.maximum(means.loc[CONTROL].to_numpy() + sums, 0)
    out = AnnData(after, obs=pd.DataFrame({"perturbation": pairs}, index=pairs))
    out.var_names = screen.mdata["rna"].var_names
    out.layers["change"] = after - means.loc[CONTROL].to_numpy()
    return out


def opponents(change: pd.DataFrame, screen: Screen, pairs: list[str]) -> dict[str, np.ndarray]:
    """Return predictions ``(n_pairs, n_peaks)`` from measured changes of training perturbations."""
    singles = [name for name in change.index if "+" not in name]
    both = [pair.split("+") for pair in pairs]
    center = change.to_numpy().mean(0)
    axes = np.linalg.svd(change.to_numpy() - center, full_matrices=False)[2][:N_COMPONENTS]
    smooth = pd.DataFrame((change - center) @ axes.T @ axes + center, index=change.index)
    best, error = DECAYS[0], np.inf
    y = change.loc[singles].to_numpy()
    for decay in DECAYS:
        x = np.exp(-screen.distance[singles].to_numpy().T / decay)
        off = float(((y - x * (x * y).sum() / (x**2).sum()) ** 2).sum())
        best, error = (decay, off) if off < error else (best, error)
    near = np.exp(-screen.distance / best)
    slope = (near[singles].to_numpy().T * y).sum() / (near[singles].to_numpy() ** 2).sum()
    return {
        ADDITIVE: np.stack([change.loc[p].sum(0) for p in both]),
        f"additive, {N_COMPONENTS} components": np.stack([smooth.loc[p].sum(0) for p in both]),
        ORACLE: np.stack([screen.truth.loc[p].sum(0) for p in both]),
        "matching mean": np.stack([change.loc[p].mean(0) for p in both]),
        "training mean": np.stack([center for _ in both]),
        "distance": np.stack([slope * near[p].sum(1).to_numpy() for p in both]),
        "no change": np.zeros((len(pairs), change.shape[1])),
    }


def run(seed: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the scores of each method and held-out pair."""
    screen = simulate(seed, args.cells)
    labels = screen.mdata.obs["perturbation"].astype(str).to_numpy()
    rng = np.random.default_rng(seed)
    held_out = sorted(rng.permutation(screen.pairs)[:N_HELD_OUT])
    controls = rng.permutation(np.flatnonzero(labels == CONTROL))
    # Controls of the test serve nothing else.
    test = np.zeros(len(labels), bool)
    test[controls[: len(controls) // 2]] = True
    test |= np.isin(labels, held_out)
    train = ~test
    model = trained(screen, np.flatnonzero(train), seed, args)
    atac, rna = screen.mdata["atac"].X, screen.mdata["rna"]
    seen = profiles(atac[train], labels[train])
    known = (seen - seen.loc[CONTROL]).drop(index=CONTROL)
    found = opponents(known, screen, held_out)
    options: dict[str, Any] = {"perturbation_key": "perturbation", "control": CONTROL}
    expected = expected_rna(screen, labels, train, held_out)
    use = train & (labels == CONTROL)
    found[OURS] = scmomer.tl.perturb_atac(
        rna[use].copy(), model, predicted=expected, seed=seed, **options
    )[held_out].layers["change"]
    cells = use | np.isin(labels, held_out)
    found[MEASURED] = scmomer.tl.perturb_atac(rna[cells].copy(), model, **options)[held_out].layers[
        "change"
    ]
    measured = profiles(atac[test], labels[test])
    change = measured - measured.loc[CONTROL]
    rows = []
    for k, pair in enumerate(held_out):
        true, noisy = screen.truth.loc[pair].to_numpy(), change.loc[pair].to_numpy()
        for method, values in {**found, "truth": screen.truth.loc[held_out].to_numpy()}.items():
            scores = {"r": top_r(values[k], noisy), "r_truth": top_r(values[k], true)}
            rows.append({"seed": seed, "method": method, "pair": pair, **scores})
    return rows


def summarize(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return means over pairs and seeds, and paired differences from the additive row."""
    table = pd.DataFrame(rows)
    wide = table.pivot_table(index=["seed", "pair"], columns="method", values=["r", "r_truth"])
    out = {}
    for method in pd.unique(table["method"]):
        apart = wide["r", method] - wide["r", ADDITIVE]
        out[str(method)] = {
            "r": float(wide["r", method].mean()),
            "r_truth": float(wide["r_truth", method].mean()),
            "difference": float(apart.mean()),
            "difference_se": float(apart.std(ddof=1) / len(apart) ** 0.5),
            "worst_seed": float(wide["r", method].groupby("seed").mean().min()),
        }
    return out


def main(argv: list[str] | None = None) -> None:
    """Run, and write after each seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--cells", type=int, default=80, help="of each perturbation")
    parser.add_argument("--max-epochs", type=int, help="of every stage, for a quick run")
    parser.add_argument("--models", type=Path, help="folder to read and write trained models")
    parser.add_argument(
        "--json", type=Path, default=Path("benchmarks/results/perturbation_atac.json")
    )
    args = parser.parse_args(argv)
    head = {
        "command": " ".join(["python", *sys.argv]),
        "machine": machine("cpu"),
        "versions": versions("scmomer", "torch", "scvi-tools"),
    }
    rows: list[dict[str, Any]] = []
    if args.json.exists():
        rows = json.loads(args.json.read_text())["rows"]
    for seed in args.seeds:
        if seed not in {row["seed"] for row in rows}:
            rows += run(seed, args)
        args.json.parent.mkdir(parents=True, exist_ok=True)
        write_report(args.json, {**head, "summary": summarize(rows), "rows": rows})
    print(pd.DataFrame(summarize(rows)).T.round(3).to_string())


if __name__ == "__main__":
    main()
