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
    """The domain `satellite`."""
    return Domain(
        name="satellite",
        summary="Satellite and aerial images: GeoTIFF, multispectral and radar; patches as tokens",
        core="~=0.1.0",
        components={
            "source": {"tiles": "manyviews_satellite.source:TileSource"},
            "encoder": {
                "rcf": "manyviews_satellite.rcf:RandomFeatures",
                "resnet": "manyviews_satellite.resnet:ResNet",
                "transformer": "manyviews_satellite.transformer:PatchTransformer",
                "unet": "manyviews_satellite.unet:UNet",
            },
            "views": {
                "augment": "manyviews_satellite.views.augment:Augment",
                "group_mask": "manyviews_satellite.views.group_mask:GroupMask",
                "merlin_parts": "manyviews_satellite.radar.parts:MerlinParts",
                "seasons": "manyviews_satellite.views.seasons:Seasons",
            },
            "objective": {
                "merlin": "manyviews_satellite.radar.merlin:Merlin",
                "seco": "manyviews_satellite.seco:SeCo",
            },
            "downstream": {
                "change": "manyviews_satellite.dense.change:Change",
                "segmentation": "manyviews_satellite.dense.segmentation:Segmentation",
            },
            "renderer": {"tiles": "manyviews_satellite.renderer:TileRenderer"},
            "writer": {
                "geotiff": "manyviews_satellite.writer:GeoTiffWriter",
                "geotiffs": "manyviews_satellite.writer:GeoTiffFolderWriter",
            },
        },
        recipes="manyviews_satellite:recipes",
        demo="manyviews_satellite.demo:prepare",
        trial="manyviews_satellite.testing:TRIAL",
    )


@hookimpl
def manyviews_doctor(path: Path) -> Sequence[str] | None:
    """What is wrong with the images at `path`; None where there are none."""
    from manyviews_satellite.doctor import examine

    return examine(path)
