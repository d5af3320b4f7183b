"""What this package brings, as text: imported by the registry at every start, so nothing heavy is imported here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manyviews.domain import Domain
from manyviews.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@hookimpl
def manyviews_domain() -> Domain:
    """The domain `tabular`."""
    return Domain(
        name="tabular",
        summary="Tables: CSV, Parquet, Arrow and DataFrames; columns as tokens",
        core="~=0.1.0",
        components={
            "source": {"table": "manyviews_tabular.source:TableSource"},
            "encoder": {
                "transformer": "manyviews_tabular.transformer:TableTransformer",
                "mlp": "manyviews_tabular.mlp:TableMLP",
            },
            "views": {
                "mixed": "manyviews_tabular.mixed:MixedViews",
                "scarf": "manyviews_tabular.scarf:Scarf",
                "vime": "manyviews_tabular.vime:VimeCorruption",
            },
            "objective": {
                "values": "manyviews_tabular.values:Values",
                "vime": "manyviews_tabular.vime:Vime",
            },
            "renderer": {"row": "manyviews_tabular.renderer:RowRenderer"},
        },
        recipes="manyviews_tabular:recipes",
        demo="manyviews_tabular.demo:prepare",
        trial="manyviews_tabular.testing:TRIAL",
    )


@hookimpl
def manyviews_doctor(path: Path) -> Sequence[str] | None:
    """What is wrong with the tables at `path`; None where there are none."""
    from manyviews_tabular.doctor import examine

    return examine(path)
