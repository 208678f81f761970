"""Pickles and deep copies of a model, without trainer and registration."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from anndata import AnnData
from mudata import MuData

from scmomer.data import MuDataParts

if TYPE_CHECKING:
    from typing import Self

    from scvi.data import AnnDataManager

# Neither can be copied: Lightning's trainer holds functions, and scvi-tools' manager holds classes
# created at run time.
_TRAINER, _MANAGER = "trainer", "_adata_manager"


class CopiesMixin:
    """A model that can be pickled and copied."""

    _adata: AnnData | MuData | None
    _adata_manager: AnnDataManager | None

    def __getstate__(self) -> dict[str, Any]:
        """Return everything but the trainer of the last training and the registration."""
        state = {k: v for k, v in vars(self).items() if k != _TRAINER}
        if _MANAGER in state:
            state[_MANAGER] = None
        if isinstance(self._adata, MuData):
            state["_adata"] = MuDataParts.from_mudata(self._adata)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state of :meth:`__getstate__`."""
        vars(self).update(state)
        if isinstance(self._adata, MuDataParts):
            self._adata = self._adata.to_mudata()

    def __copy__(self) -> Self:
        """Return a model that shares everything."""
        other = type(self).__new__(type(self))
        vars(other).update(vars(self))
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a model with its own network. Registered data, which never change, are shared."""
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        for name, value in vars(self).items():
            if name in ("_adata", _MANAGER):
                setattr(other, name, value)
            elif name != _TRAINER:
                setattr(other, name, deepcopy(value, memo))
        return other

    @property
    def adata_manager(self) -> AnnDataManager | None:
        """Manager of the registered data; a model from a pickle registers them again."""
        if self._adata_manager is None and self._adata is not None:
            cls: Any = type(self)
            known = self.registry_  # type: ignore[attr-defined]
            set_up = cls.setup_mudata if isinstance(self._adata, MuData) else cls.setup_anndata
            set_up(self._adata, source_registry=known, **known["setup_args"])
            self._adata_manager = cls._get_most_recent_anndata_manager(self._adata, required=True)
            cls._register_manager_for_instance(self, self._adata_manager)
        return self._adata_manager
