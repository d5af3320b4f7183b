"""What encoders and views must know of the sound, stored with every checkpoint."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from manyviews.source import Spec


class FeatureSpec(BaseModel):
    """How features are made from a waveform. Times in milliseconds, frequencies in Hz."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["logmel", "fbank", "mfcc"] = "logmel"
    """`logmel`: log of torchaudio's MelSpectrogram; `fbank`, `mfcc`: Kaldi's."""
    channels: int = 80
    """Mel bands, or cepstral coefficients."""
    window: float = 25.0
    hop: float = 10.0
    low: float = 20.0
    high: float | None = None
    """None: half the rate."""
    norm: Literal["data", "clip", "level"] = "data"
    """Standardised by mean and deviation of the training data; of each clip, channel by channel (CMVN); or of each clip, all
    channels together: its loudness goes, and what its spectrum looks like stays."""


class AudioSpec(Spec):
    """Fitted on training clips only; new sound is read as it says."""

    alike = ("rate", "mono", "level", "trim", "features", "mean", "std")

    rate: int
    """Samples a second that every file is brought to."""
    mono: Literal["mean", "first", "refuse"] = "mean"
    """What becomes of several channels."""
    level: Literal["given", "rms"] = "given"
    """`rms`: each clip is brought to the same loudness, a root mean square of 0.1, where it is not silent."""
    trim: float | None = None
    """Decibels below a clip's loudest 25 ms from which its beginning and end are left out as silence; None: nothing is."""
    features: FeatureSpec | None = None
    """None: encoders of waveforms alone."""
    mean: tuple[float, ...] = ()
    """Of each feature channel over the training frames; features are given to encoders standardised by these."""
    std: tuple[float, ...] = ()
    chunk: float | None = None
    """Seconds of the pieces that longer recordings are cut into; None: whole."""
    features_when: Literal["reading", "needed"] = "reading"
    """Whether features come with a batch, or are made of it where they are needed."""
    speaker: str | None = None
    """Column of speakers, where the data have it."""
    target: str | None = None
    """Column that probes predict, where the data have it."""
