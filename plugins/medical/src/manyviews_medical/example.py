"""A scan as a user of the served encoder sends it: made from the spec, so that nothing of the data travels with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nibabel
import numpy as np

from manyviews.source import FILE
from manyviews_medical.phantom import phantom
from manyviews_medical.places import crop_shape
from manyviews_medical.spec import VolumeSpec

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 24
"""Voxels a side: readers fill up what a crop lacks, and the example is a part of the stored model."""


def example(spec: VolumeSpec) -> pd.DataFrame:
    """One row with the bytes of a NIfTI file; several channels are its fourth dimension."""
    import pandas as pd

    volume, _ = phantom(0, [min(side, LARGEST) for side in crop_shape(spec)])
    channels = (1000 * np.clip(volume, 0, None)).astype(np.int16)
    voxels = channels if spec.channels == 1 else np.repeat(channels[..., None], spec.channels, axis=-1)
    return pd.DataFrame({FILE: [nibabel.Nifti1Image(voxels, np.eye(4)).to_bytes()]})
