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
    """The domain `medical`."""
    return Domain(
        name="medical",
        summary="Medical volumes: MRI and CT from NIfTI, NRRD and DICOM; patches of voxels as tokens",
        core="~=0.1.0",
        components={
            "source": {"volumes": "manyviews_medical.source:VolumeSource"},
            "encoder": {
                "segresnet": "manyviews_medical.segresnet:SegResNet",
                "swin_unetr": "manyviews_medical.swin:SwinUNETR",
                "transformer": "manyviews_medical.transformer:PatchTransformer",
                "unet": "manyviews_medical.unet:UNet",
                "vit": "manyviews_medical.vit:ViT",
            },
            "views": {
                "augment": "manyviews_medical.views.augment:Augment",
                "correspondence": "manyviews_medical.views.correspondence:Correspondence",
                "fusion": "manyviews_medical.views.fusion:Fusion",
                "masked": "manyviews_medical.views.masked:Masked",
                "partitions": "manyviews_medical.views.partitions:Partitions",
                "swin": "manyviews_medical.views.swin:SwinViews",
                "voco_crops": "manyviews_medical.views.voco:VoCoCrops",
            },
            "objective": {
                "alice": "manyviews_medical.objectives.alice:Alice",
                "global_local": "manyviews_medical.objectives.global_local:GlobalLocal",
                "graph_matching": "manyviews_medical.objectives.graph_matching:GraphMatching",
                "swin_ssl": "manyviews_medical.objectives.swin_ssl:SwinSSL",
                "voco": "manyviews_medical.objectives.voco:VoCo",
                "volume_fusion": "manyviews_medical.objectives.volume_fusion:VolumeFusion",
            },
            "task": {},
            "downstream": {
                "bags": "manyviews_medical.bags:Bags",
                "segmentation": "manyviews_medical.segmentation:Segmentation",
            },
            "renderer": {"slice": "manyviews_medical.renderer:SliceRenderer"},
            "writer": {
                "nifti": "manyviews_medical.writer:NiftiWriter",
                "niftis": "manyviews_medical.writer:NiftiFolderWriter",
            },
        },
        recipes="manyviews_medical:recipes",
        demo="manyviews_medical.demo:prepare",
        trial="manyviews_medical.testing:TRIAL",
    )


@hookimpl
def manyviews_doctor(path: Path) -> Sequence[str] | None:
    """What is wrong with the volumes at `path`; None where there are none."""
    from manyviews_medical.doctor import examine

    return examine(path)
