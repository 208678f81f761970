"""Folders of models: safetensors and JSON. Reading executes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "weights.safetensors"
_LOADERS = {
    "model": "scmomer.load(path)",
    "classifier": "scmomer.CellTypeClassifier.load(path, model)",
    "drug_response": "scmomer.DrugResponseModel.load(path)",
    "drug_synergy": "scmomer.DrugSynergyModel.load(path)",
    "perturbation": "scmomer.PerturbationModel.load(path)",
}


@dataclass(frozen=True)
class Folder:
    """One kind of folder, with its file names and messages."""

    what: str
    """What it holds, such as ``"model"`` or ``"classifier"``."""
    version: int = 1
    """Version of the format that is written, and the newest that can be read."""

    @property
    def meta(self) -> str:
        """Name of the JSON file."""
        return f"{self.what}.json"

    @property
    def format(self) -> str:
        """Name of the format, stored in the JSON file."""
        return f"scmomer-{self.what}"

    def write(
        self, path: Path, tensors: dict[str, Tensor], meta: Mapping[str, Any], overwrite: bool
    ) -> None:
        """Write a folder; an existing one is replaced only once the new one is complete."""
        from scmomer import __version__

        self._check_free(path, overwrite)
        draft = path.with_name(f".{path.name}.part")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        save_file(tensors, draft / WEIGHTS, metadata={"format": self.format})
        head = {
            "format": self.format,
            "format_version": self.version,
            "scmomer_version": __version__,
        }
        (draft / self.meta).write_text(json.dumps({**head, **meta}, indent=1))
        if path.is_dir():
            shutil.rmtree(path)
        draft.rename(path)

    def _check_free(self, path: Path, overwrite: bool) -> None:
        """Raise if `path` exists; only a folder of this kind is ever replaced."""
        if not path.exists():
            return
        if not overwrite:
            msg = f"Expected a new folder, found {str(path)!r}. Pass overwrite=True to replace it."
            raise FileExistsError(msg)
        inside = {p.name for p in path.iterdir()} if path.is_dir() else None
        if inside is None or inside - {self.meta, WEIGHTS}:
            found = "a file" if inside is None else f"a folder with {sorted(inside)[:5]}"
            msg = (
                f"Expected a {self.what} folder to overwrite at {str(path)!r}, found {found}. "
                "Choose another path, or remove it yourself."
            )
            raise FileExistsError(msg)

    def read_meta(self, path: Path) -> dict[str, Any]:
        """Return the JSON of a folder."""
        if not path.is_dir():
            found = "a file" if path.exists() else "nothing"
            msg = (
                f"Expected a {self.what} folder at {str(path)!r}, found {found}. "
                f"Check the path; {self.what}.save(path) writes such a folder."
            )
            raise FileNotFoundError(msg)
        missing = [name for name in (self.meta, WEIGHTS) if not (path / name).is_file()]
        if missing:
            found = str(sorted(p.name for p in path.iterdir())[:10])
            msg = (
                f"Expected {self.meta} and {WEIGHTS} in {str(path)!r}, found {found}. "
                f"{self._other_kind(path)}"
            )
            raise FileNotFoundError(msg)
        try:
            meta = json.loads((path / self.meta).read_text())
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(self.damage_message(path, error)) from error
        self._check_format(path, meta)
        return meta

    def _other_kind(self, path: Path) -> str:
        """Return how to load `path` if it is a folder of another kind."""
        for what, line in _LOADERS.items():
            if what != self.what and (path / f"{what}.json").is_file():
                return f"This is a {what} folder. Load it with: {what} = {line}"
        return f"Pass a complete folder that {self.what}.save(path) wrote."

    def _check_format(self, path: Path, meta: Any) -> None:
        kind = meta.get("format") if isinstance(meta, dict) else type(meta).__name__
        if kind != self.format:
            msg = (
                f"Expected format {self.format!r} in {self.meta} of {str(path)!r}, found {kind!r}. "
                f"Pass a folder that {self.what}.save(path) wrote."
            )
            raise ValueError(msg)
        version = meta.get("format_version")
        if not isinstance(version, int) or version > self.version:
            msg = (
                f"Expected format version {self.version} or older in {self.meta} of {str(path)!r}, "
                f"found {version!r} (written by scmomer {meta.get('scmomer_version')}). Upgrade "
                "scmomer."
            )
            raise ValueError(msg)

    def read_tensors(self, path: Path) -> dict[str, Tensor]:
        """Return the tensors of a folder."""
        file = path / WEIGHTS
        try:
            return load_file(file)
        except (SafetensorError, OSError) as error:
            msg = (
                f"Expected safetensors in {str(file)!r}, found a damaged or foreign file: {error}. "
                f"Save the {self.what} again or fetch a new copy."
            )
            raise ValueError(msg) from error

    def damage_message(self, path: Path, error: Exception) -> str:
        """Return the message for a JSON file with unexpected content."""
        return (
            f"Expected {self.meta} of {str(path)!r} as {self.what}.save(path) wrote it, found "
            f"damage: {error!r}. Save the {self.what} again or fetch a new copy."
        )
