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
    """The domain `speech`."""
    return Domain(
        name="speech",
        summary="Speech and sound: wav, flac, ogg, mp3; frames or patches as tokens",
        core="~=0.1.0",
        components={
            "source": {"audio": "manyviews_speech.source:AudioSource"},
            "encoder": {
                "conformer": "manyviews_speech.conformer:Conformer",
                "conv": "manyviews_speech.conv:ConvEncoder",
                "patches": "manyviews_speech.patches:PatchTransformer",
                "transformer": "manyviews_speech.transformer:FrameTransformer",
                "waveform": "manyviews_speech.wav2vec2:Wav2Vec2",
            },
            "views": {
                "frame_views": "manyviews_speech.views.segments:FrameViews",
                "segments": "manyviews_speech.views.segments:Segments",
                "spec_augment": "manyviews_speech.views.spec_augment:SpecAugment",
                "tera": "manyviews_speech.views.tera:Tera",
                "waves": "manyviews_speech.views.waves:WaveViews",
            },
            "objective": {
                "w2v_bert": "manyviews_speech.wav2vec2_loss:W2vBert",
                "wav2vec2": "manyviews_speech.wav2vec2_loss:Wav2Vec2Loss",
            },
            "task": {},
            "renderer": {"spectrogram": "manyviews_speech.renderer:SpectrogramRenderer"},
        },
        recipes="manyviews_speech:recipes",
        demo="manyviews_speech.demo:prepare",
        trial="manyviews_speech.testing:TRIAL",
    )


@hookimpl
def manyviews_doctor(path: Path) -> Sequence[str] | None:
    """What is wrong with the sounds at `path`; None where there are none."""
    from manyviews_speech.doctor import examine

    return examine(path)
