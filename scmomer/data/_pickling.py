"""A MuData in parts, for copies and pickles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from anndata import AnnData
from mudata import MuData

from scmomer._compat import keep_obs

_MAPPINGS = ("obsm", "obsp", "obsmap", "varm", "varp", "varmap", "uns")


@dataclass(frozen=True)
class MuDataParts:
    """The parts of a MuData: mudata 0.3 and 0.4 cannot read their own pickles."""

    mod: dict[str, AnnData]
    further: dict[str, Any]

    @classmethod
    def from_mudata(cls, mdata: MuData) -> MuDataParts:
        """Take a MuData apart."""
        mappings = {name: dict(getattr(mdata, name)) for name in _MAPPINGS}
        return cls(
            dict(mdata.mod), {"obs": mdata.obs, "var": mdata.var, "axis": mdata.axis, **mappings}
        )

    def to_mudata(self) -> MuData:
        """Put the MuData together again."""
        with keep_obs():
            return MuData(self.mod, **self.further)
