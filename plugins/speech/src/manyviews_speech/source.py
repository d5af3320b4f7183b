"""Sound as a source: headers are read at the start, samples when a batch asks for them."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zlib import crc32

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, Shaped
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from manyviews.errors import DataError, UserError
from manyviews.events import Events
from manyviews.labelling import TextKind, labels_of_text
from manyviews.lengths import Lengths
from manyviews.plugins.suggest import did_you_mean
from manyviews.source import Labels, Pairs, Source
from manyviews_speech.annotations import read_events
from manyviews_speech.batch import AudioBatch
from manyviews_speech.clips import empty_bands, find_clips, wave_of
from manyviews_speech.example import example
from manyviews_speech.frontend import Frontend
from manyviews_speech.listing import listing
from manyviews_speech.partners import Neighbours, Same, clusters_of, in_parts
from manyviews_speech.recording import SUFFIXES
from manyviews_speech.spec import AudioSpec, FeatureSpec
from manyviews_speech.splits import split_items
from manyviews_speech.trials import draw_pairs, read_trials

SHORTEST_WAVE = 400
"""Fewest samples of a clip where there are no features: one step of a wav2vec 2.0 encoder."""


class AudioSource(Source):
    """Clips of sound: wav, flac, ogg, mp3 and what else libsndfile reads.

    Args:
        path: A file, a folder (searched through), a pattern, a manifest (CSV, TSV, JSONL with a column of paths) or Kaldi's
            wav.scp.
        path_column: A manifest's column of paths, which are relative to the manifest.
        target: Column that probes predict: a manifest's, `folder` (a file's folder) or `speaker` of Kaldi's utt2spk.
        target_kind: Classes, or numbers to regress on.
        speaker: Column of speakers, for views and objectives that pair clips of one speaker.
        group: Column whose clips belong together: drawn splits never part them. Pieces of one recording always do.
        splits: Column that names train, valid or test, or shares such as `{valid: 0.1, test: 0.2}`. Default: these shares
            where there is a target, else all clips train.
        hold_out: Column and value, or values, whose clips are the test split: `{speaker: theo}`, `{speaker: [theo, lucas]}`.
        split_seed: Seed of drawn splits.
        rate: Samples a second that all is brought to; null: the rate of the first file.
        mono: What becomes of several channels: their mean, the first, or an error. The mean of a pair in opposite phase is
            silence.
        level: `rms`: all clips equally loud.
        trim: Leave out silence at a clip's beginning and end: what is so many decibels below its loudest 25 ms.
        chunk: Seconds after which recordings are cut; null: whole.
        features: Frames of features for the encoders that read them; null: waveforms alone.
        features_when: `reading`: by the process that reads, clip by clip, which is fastest on a CPU; `needed`: of a whole batch
            where it is then, for views that alter waveforms and for GPUs.
        partner: Give with each clip another one: of its `speaker`, for speaker-consistent pairs; of its `cluster`, for speakers
            that nobody named; or a `neighbour`, near it and of another speaker, which is likely to say the same. Speakers are
            those of `data.speaker`.
        partner_run: Folder of a finished run in whose embedding neighbours and clusters are found; null: in the spectrum of a
            clip's parts.
        clusters: Clusters of the training clips, for `partner: cluster`; null: none.
        neighbours: Nearest clips that a neighbour is drawn from.
        pairs: For verification: a file of trials (`1 left right`, one a line), or `speaker` for pairs drawn by `data.speaker`.
        pair_count: Pairs drawn in each split, half of them of one speaker.
        events: What happens when: a TSV, CSV or JSONL list with columns `filename`, `onset`, `offset` (seconds from the
            recording's beginning) and `event_label`, a row an event; a row with a filename alone: nothing happens there.
        fit_clips: Most training clips that the features' mean and deviation are fitted on.
        memory: Gigabytes of decoded clips kept.
        on_error: Raise at the first file that cannot be used, or `skip` such files and list them: all but WAVs of whole numbers
            are decoded once at the start for that.
        seed: Of the choice of partners and of the clips fitted on.
        spec: A fitted spec: read as it says and fit nothing.
    """

    spec: AudioSpec
    served, served_also = ".wav", SUFFIXES - {".wav"}

    def __init__(
        self,
        *,
        path: str | Path,
        path_column: str = "path",
        target: str | None = None,
        target_kind: TextKind = "classes",
        speaker: str | None = None,
        group: str | None = None,
        splits: str | dict[str, float] | None = None,
        hold_out: dict[str, str | list[str]] | None = None,
        split_seed: NonNegativeInt = 0,
        rate: PositiveInt | None = 16_000,
        mono: Literal["mean", "first", "refuse"] = "mean",
        level: Literal["given", "rms"] = "given",
        trim: PositiveFloat | None = None,
        chunk: PositiveFloat | None = None,
        features: FeatureSpec | None = FeatureSpec(),  # noqa: B008 - frozen
        features_when: Literal["reading", "needed"] = "reading",
        partner: Literal["speaker", "cluster", "neighbour"] | None = None,
        partner_run: str | None = None,
        clusters: Annotated[int, Field(ge=2)] | None = None,
        neighbours: PositiveInt = 5,
        pairs: str | Path | None = None,
        pair_count: PositiveInt = 10_000,
        events: str | Path | None = None,
        fit_clips: PositiveInt = 500,
        memory: Annotated[float, Field(ge=0)] = 1.0,
        on_error: Literal["raise", "skip"] = "raise",
        seed: NonNegativeInt = 0,
        spec: AudioSpec | None = None,
    ) -> None:
        self._path, self._seed, self._partner = Path(path), seed, partner
        self._partner_run, self._neighbours, self._clusters = partner_run, neighbours, clusters
        if partner == "cluster" and clusters is None:
            raise UserError("data.partner: for partners of one cluster, say how many clusters there are: `data.clusters`")
        if spec is not None:
            rate, mono, chunk, features, features_when = spec.rate, spec.mono, spec.chunk, spec.features, spec.features_when
            speaker = speaker or spec.speaker
        self._items = listing(path, path_column)
        clips, self.skipped = find_clips(
            self._items, rate, chunk, lambda hertz: _shortest(features, hertz), mono, on_error == "skip"
        )
        self._clips = clips
        self._of = np.array([clip.item for clip in clips])
        hertz = rate or clips[0].recording.rate
        self._points = np.array([clip.points(hertz) for clip in clips])
        wanted = target if spec is None or target is not None else spec.target
        self._labels = self._target(wanted, target_kind, required=spec is None or target is not None)
        self._groups = self._grouped(group)
        self._events = self._annotated(events, trim)
        judged = self._labels is not None or self._events is not None
        self._splits = split_items(
            self._items, self._of, splits, hold_out, self._labels, self._groups, split_seed, self._column, judged=judged
        )
        self._reading = features_when == "reading"
        named = speaker is not None and (spec is None or all(speaker in item.columns for item in self._items))
        names = self._column(speaker)[self._of] if speaker is not None and named else np.full(len(clips), "")
        self._speakers = np.unique(names, return_inverse=True)[1] if named else np.full(len(clips), -1)
        self._pairs = self._paired(pairs, pair_count)
        self._cache: OrderedDict[int, tuple[Tensor, Tensor | None]] = OrderedDict()
        self._room = int(memory * 1e9)
        self.spec = spec or AudioSpec(
            rate=hertz,
            mono=mono,
            level=level,
            trim=trim,
            features=features,
            features_when=features_when,
            chunk=chunk,
            speaker=speaker,
            target=target,
        )
        self._frontend = None if features is None else Frontend.of(self.spec)
        self._least = SHORTEST_WAVE if self._frontend is None else self._frontend.shortest
        if spec is None and self._frontend is not None and self._frontend.features.norm == "data":
            mean, std = self._statistics(self._frontend, fit_clips)
            self.spec = self.spec.model_copy(update={"mean": mean, "std": std})
            self._frontend = Frontend.of(self.spec)
            self._forget()
        self.remarks = empty_bands(clips, self.spec) if spec is None else ()

    def _column(self, name: str) -> Shaped[np.ndarray, "items"]:
        """A column of the list, as text."""
        values = [item.columns.get(name) for item in self._items]
        missing = next((item for item, value in zip(self._items, values, strict=True) if value is None), None)
        if missing is not None:
            known = sorted({key for item in self._items for key in item.columns})
            raise DataError(f"{missing.where}: there is no {name!r} (known: {', '.join(known)}){did_you_mean(name, known)}")
        return np.array(values, dtype=object)

    def _target(self, name: str | None, kind: TextKind, *, required: bool) -> Labels | None:
        if name is None or (not required and not all(name in item.columns for item in self._items)):
            return None
        return labels_of_text(name, self._column(name)[self._of].tolist(), kind)

    def _grouped(self, column: str | None) -> Shaped[np.ndarray, "clips"] | None:
        if column is not None:
            return self._column(column)[self._of]
        pieces = len(np.unique(self._of)) < len(self._of)
        return np.array([str(clip.recording.path) for clip in self._clips]) if pieces else None

    def _paired(self, pairs: str | Path | None, count: int) -> Pairs | None:
        if pairs is None:
            return None
        if pairs == "speaker":
            if (self._speakers < 0).all():
                raise DataError("data.pairs: to draw pairs by speaker, name the column of speakers as `data.speaker`")
            return draw_pairs(self._speakers, self._splits, count, self._seed)
        if not Path(pairs).is_file():
            raise DataError(f"data.pairs: there is no file {pairs}; name a list of trials, or `speaker`")
        return read_trials(Path(pairs), self._items, self._of, self._folder)

    def _annotated(self, events: str | Path | None, trim: float | None) -> Events | None:
        if events is None:
            return None
        if trim is not None:
            raise UserError(
                "data.events: times are those of whole recordings, and `data.trim` cuts their ends off: leave it out"
            )
        return read_events(Path(events).expanduser(), self._clips, self._folder)

    @property
    def _folder(self) -> Path:
        """That paths of the data are relative to."""
        return self._path if self._path.is_dir() else self._path.parent

    def _statistics(self, frontend: Frontend, most: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation of each channel over training frames, in float64."""
        train = np.flatnonzero(self._splits == "train")
        chosen = np.sort(np.random.default_rng([self._seed, 2]).permutation(train)[:most])
        count, total, squares = 0, torch.zeros(frontend.features.channels, dtype=torch.float64), torch.zeros(1)
        for number in chosen.tolist():
            frames = self._featured(frontend, self._wave(number), number).double()
            count, total, squares = count + len(frames), total + frames.sum(0), squares + frames.square().sum(0)
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt().clamp(min=1e-3)
        return tuple(mean.tolist()), tuple(std.tolist())

    def __len__(self) -> int:
        return len(self._clips)

    def _wave(self, number: int) -> Float[Tensor, "points"]:
        return wave_of(self._clips[number], self.spec, self._least)

    def _featured(self, frontend: Frontend, wave: Tensor, number: int) -> Float[Tensor, "frames channels"]:
        alone = AudioBatch(wave, Lengths.of([len(wave)]), frames=Lengths.of([frontend.count(len(wave))]))
        features = frontend(alone).features
        assert features is not None
        return features

    def _read(self, number: int) -> tuple[Float[Tensor, "points"], Float[Tensor, "frames channels"] | None]:
        """A clip's waveform and, where they are made at reading, its features; kept while there is room."""
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number]
        wave = self._wave(number)
        made = self._featured(self._frontend, wave, number) if self._frontend is not None and self._reading else None
        size = 4 * (wave.numel() + (0 if made is None else made.numel()))
        if size <= self._room:
            self._cache[number] = (wave, made)
            self._room -= size
        return wave, made

    def _forget(self) -> None:
        self._room += sum(4 * (wave.numel() + (0 if made is None else made.numel())) for wave, made in self._cache.values())
        self._cache.clear()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_cache": OrderedDict()}  # each worker keeps its own

    def batch(self, index: Int[np.ndarray, "clips"]) -> AudioBatch:
        batch = self._collated(index)
        if self._partner is None:
            return batch
        rng = np.random.default_rng([self._seed, crc32(index.astype(np.int64).tobytes())])
        return replace(batch, others=self._collated(self._partners(index, rng)))

    def _collated(self, index: Int[np.ndarray, "clips"]) -> AudioBatch:
        clips = [self._read(int(number)) for number in index]
        points = [len(wave) for wave, _ in clips]
        frames = None if self._frontend is None else Lengths.of([self._frontend.count(size) for size in points])
        made = [part for _, part in clips if part is not None]
        waves = torch.cat([wave for wave, _ in clips]) if clips else torch.empty(0)
        features = torch.cat(made) if made else None
        return AudioBatch(waves, Lengths.of(points), features, frames, speakers=torch.from_numpy(self._speakers[index]))

    @cached_property
    def _partners(self) -> Same | Neighbours:
        """Found at the first batch, among the training clips."""
        train = np.flatnonzero(self._splits == "train")
        if self._partner == "neighbour":
            return Neighbours(train, self._described(train), self._speakers, self._neighbours)
        if self._partner == "speaker":
            return Same(train, self._speakers)
        assert self._clusters is not None, "refused at the start"
        clusters = np.full(len(self), -1)
        clusters[train] = clusters_of(self._described(train), self._clusters, self._seed)
        return Same(train, clusters)

    def _described(self, clips: Int[np.ndarray, "chosen"]) -> Float[Tensor, "chosen width"]:
        """Vectors in which clips are near one another: of a finished run, or the spectrum of their parts."""
        if self._partner_run is not None:
            return self._embedded(self._partner_run, clips)
        return torch.stack([in_parts(self._frames(int(number))) for number in clips])

    def _frames(self, number: int) -> Float[Tensor, "frames channels"]:
        wave, features = self._read(number)
        frontend = self._frontend or Frontend(FeatureSpec(), self.spec.rate)
        return self._featured(frontend, wave, number) if features is None else features

    def _embedded(self, run: str, clips: Int[np.ndarray, "chosen"]) -> Float[Tensor, "chosen width"]:
        """By the encoder of a finished run, which reads the same clips as its own spec says."""
        from manyviews.engine.load import load_trained
        from manyviews.evaluate.embed import embed

        trained = load_trained(run, device="cpu")
        own = trained.reading(self._path)
        if len(own) != len(self):
            raise DataError(
                f"data.partner_run: {run} cuts {self._path} into {len(own):,} clips, this run into {len(self):,}; "
                "give both the same `chunk`"
            )
        return torch.from_numpy(embed(trained.encoder, own, clips))

    def sizes(self) -> Float[np.ndarray, "clips"]:
        """Seconds."""
        return self._points / self.spec.rate

    def splits(self) -> Shaped[np.ndarray, "clips"]:
        return self._splits

    def labels(self) -> Labels | None:
        return self._labels

    def pairs(self) -> Pairs | None:
        return self._pairs

    def events(self) -> Events | None:
        return self._events

    def seconds(self) -> Float[np.ndarray, "clips"]:
        return np.array([(clip.stop - clip.start) / clip.recording.rate for clip in self._clips])

    def moment(self, sample: int) -> tuple[str, float]:
        """The recording's path, as lists of events beside the data call it, and where the clip begins in it. A link within the
        data is a name of theirs, wherever it leads."""
        clip = self._clips[sample]
        path, folder = (Path(os.path.abspath(place)) for place in (clip.recording.path, self._folder))
        name = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
        return name, clip.start / clip.recording.rate

    def groups(self) -> Shaped[np.ndarray, "clips"] | None:
        return self._groups

    def features(self, index: Int[np.ndarray, "clips"]) -> Float[np.ndarray, "clips features"]:
        """Mean and deviation over time of each channel of the features; of 80 log-mel bands where the spec has none."""
        frontend = self._frontend or Frontend(FeatureSpec(), self.spec.rate)
        rows = [self._featured(frontend, self._read(int(number))[0], int(number)) for number in index]
        return np.stack([torch.cat([frames.mean(0), frames.std(0, unbiased=False)]).numpy() for frames in rows])

    def frame_features(
        self, index: Int[np.ndarray, "clips"]
    ) -> tuple[Float[np.ndarray, "frames features"], Int[np.ndarray, "clips"]]:
        """The features' frames; of 80 log-mel bands where the spec has none."""
        frames = [self._frames(int(number)).numpy() for number in index]
        return np.concatenate(frames), np.array([len(part) for part in frames])

    def name(self, number: int) -> str:
        """What a clip is called: its file, and which part of it where it is not the whole."""
        clip = self._clips[number]
        recording = clip.recording
        if (clip.start, clip.stop) == (0, recording.frames):
            return recording.path.name
        return f"{recording.path.name} {clip.start / recording.rate:.1f}-{clip.stop / recording.rate:.1f} s"

    def names(self, samples: Int[np.ndarray, "clips"]) -> list[str]:
        """Kaldi's utterances, or files as lists call them; and which seconds where that is not all of what is called so."""
        pieces, told = np.bincount(self._of, minlength=len(self._items)), []
        for number in samples.tolist():
            clip, (path, start) = self._clips[number], self.moment(number)
            utterance = self._items[clip.item].name
            whole = pieces[clip.item] == 1 if utterance else (clip.start, clip.stop) == (0, clip.recording.frames)
            told.append((utterance or path) + ("" if whole else f" {start:.3f}-{clip.stop / clip.recording.rate:.3f} s"))
        return told

    def example(self) -> pd.DataFrame:
        """A sound as a file."""
        return example(self.spec)

    def fingerprint(self) -> Mapping[str, Any]:
        told = [f"{clip.recording.path.name} {clip.recording.frames} {clip.recording.rate}" for clip in self._clips]
        seconds = float(self._points.sum() / self.spec.rate)
        digest = hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
        return {"path": str(self._path), "clips": len(self), "seconds": round(seconds, 3), "files": digest}

    def describe(self) -> str:
        """What was found, in a few lines."""
        rates = sorted({clip.recording.rate for clip in self._clips})
        seconds = self.sizes()
        lines = [
            f"{len(self):,} clips of {seconds.min():.2f} to {seconds.max():.2f} s, {seconds.sum() / 3600:.2f} h in all",
            f"files at {', '.join(f'{rate:,}' for rate in rates)} Hz, read at {self.spec.rate:,} Hz",
        ]
        return "\n".join(lines + [f"left out: {reason}" for reason in self.skipped])


@lru_cache(maxsize=64)
def _shortest(features: FeatureSpec | None, rate: int) -> int:
    """Fewest samples of a clip at a rate; asked for every file of a list, and a filterbank is made for the answer."""
    return SHORTEST_WAVE if features is None else Frontend(features, rate).shortest
