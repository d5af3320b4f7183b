"""The toy domain as a plugin: light, so that listing plugins imports nothing of what it describes."""

from __future__ import annotations

from manyviews.domain import Domain
from manyviews.hookspecs import hookimpl


@hookimpl
def manyviews_domain() -> Domain:
    """The toy domain's description."""
    return Domain(
        name="toy",
        summary="Short series of vectors around a few centres, for tests.",
        core="~=0.1",
        components={
            "source": {"series": "manyviews.testing.toy:ToySource"},
            "encoder": {"transformer": "manyviews.testing.toy:ToyEncoder"},
            "views": {"noise": "manyviews.testing.toy:ToyNoise"},
            "renderer": {"lines": "manyviews.testing.toy:ToyLines"},
        },
        demo="manyviews.testing.toy_trial:demo",
        trial="manyviews.testing.toy_trial:TRIAL",
    )
