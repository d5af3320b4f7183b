"""A sound as a user of the served encoder sends it: made from the spec, so that nothing of the data travels with it."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import soundfile

from manyviews.source import FILE
from manyviews_speech.spec import AudioSpec

SECONDS, HERTZ = 0.5, 440.0


def example(spec: AudioSpec) -> pd.DataFrame:
    """One row with the bytes of a WAV file: half a second of a tone at the spec's rate."""
    times = np.arange(round(SECONDS * spec.rate)) / spec.rate
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * HERTZ * times), spec.rate, format="WAV", subtype="PCM_16")
    return pd.DataFrame({FILE: [file.getvalue()]})
