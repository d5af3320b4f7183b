"""What this package brings, as text: read at every start of every command, so nothing heavy is imported here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manyviews.domain import Domain
from manyviews.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@hookimpl
def manyviews_domain() -> Domain:
    """The domain `timeseries`."""
    return Domain(
        name="timeseries",
        summary="Timeseries data",
        core="~=0.1.0",
        components={
            "source": {"files": "manyviews_timeseries.source:TimeseriesSource"},
            "encoder": {"transformer": "manyviews_timeseries.encoder:TimeseriesTransformer"},
            "renderer": {"lines": "manyviews_timeseries.renderer:Lines"},
            "views": {"noise": "manyviews_timeseries.views:Noise"},
        },
        recipes="manyviews_timeseries:recipes",
        demo="manyviews_timeseries.trial:demo",
        trial="manyviews_timeseries.trial:TRIAL",
    )


@hookimpl
def manyviews_doctor(path: Path) -> Sequence[str] | None:
    """What is wrong with the data at `path`; None where they are none of ours."""
    from manyviews_timeseries.source import examine

    return examine(path)
