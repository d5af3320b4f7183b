"""How fast the parts of speech recipes are, beside the way that torchaudio's and fairseq's code does the same.

    python benchmarks/speech.py [--rounds 9] [--parts hubert negatives ...] [--hours 10]
    python benchmarks/speech.py --quick

One thread, in turns, CPU time; ratios are medians over rounds. What is compared is first checked to be equal: losses and
gradients to 1e-5, labels, features, shares of masked frames. `recording` embeds one long recording in a process of its own and
reports its largest memory. Prints one JSON object as its last line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from _measure import interleaved, ratio
from torch import Tensor
from torch.nn import functional as F

Works = Mapping[str, Callable[[int], None]]


def hubert(scale: int) -> tuple[Works, dict[str, float]]:
    """Loss and gradients of the masked frames of 2 clips of 10 s (half of 499 frames each), 500 codes, 256 wide."""
    from torchaudio.models.wav2vec2.components import _compute_logits

    from manyviews.objectives.masked_codes import cosine_logits

    torch.manual_seed(0)
    frames, codes = 500 // scale, 500
    x, book = torch.randn(frames, 256), torch.rand(codes, 256)
    targets = torch.randint(codes, (frames,))

    def step(loss: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        one, two = x.clone().requires_grad_(), book.clone().requires_grad_()
        value = loss(one, two)
        return value.detach(), *torch.autograd.grad(value, (one, two))

    def theirs(one: Tensor, two: Tensor) -> Tensor:
        return F.cross_entropy(_compute_logits(one, targets, two), targets.new_zeros(frames))

    def ours(one: Tensor, two: Tensor) -> Tensor:
        return F.cross_entropy(cosine_logits(one, two, 0.1), targets)

    apart = largest_difference(step(theirs), step(ours))
    return {"theirs": lambda _: ignore(step(theirs)), "ours": lambda _: ignore(step(ours))}, {"largest difference": apart}


def negatives(scale: int) -> tuple[Works, dict[str, float]]:
    """wav2vec 2.0's contrast: 2 clips of 250 masked frames, 100 negatives, 256 wide; loss and gradients."""
    from manyviews.lengths import Lengths
    from manyviews_speech.contrast import contrastive, draw_negatives

    torch.manual_seed(0)
    clips, frames, count = 2, 250 // scale, 100
    x, y = torch.randn(2, clips * frames, 256)
    lengths = Lengths.of([frames] * clips)
    drawn = draw_negatives(lengths, count, torch.Generator().manual_seed(0))
    flat = drawn + lengths.starts()[lengths.owners()][:, None]

    def step(loss: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        one, two = x.clone().requires_grad_(), y.clone().requires_grad_()
        value = loss(one, two)
        return value.detach(), *torch.autograd.grad(value, (one, two))

    def theirs(one: Tensor, two: Tensor) -> Tensor:
        """A tensor of candidates for each frame, and cosine similarities with them."""
        candidates = torch.cat([two[None], two[flat.T]])
        logits = torch.cosine_similarity(one[None], candidates, dim=-1) / 0.1
        return F.cross_entropy(logits.T, torch.zeros(len(one), dtype=torch.long))

    def ours(one: Tensor, two: Tensor) -> Tensor:
        return contrastive(one, two, lengths, drawn, 0.1).mean()

    apart = largest_difference(step(theirs), step(ours))
    return {"theirs": lambda _: ignore(step(theirs)), "ours": lambda _: ignore(step(ours))}, {"largest difference": apart}


def masks(scale: int) -> tuple[Works, dict[str, float]]:
    """Span masks of 64 clips of 500 frames, start .08 (torchaudio: .8 / 10 frames), span 10."""
    from torchaudio.models.wav2vec2.components import _compute_mask_indices

    from manyviews.lengths import Lengths
    from manyviews.views.span_mask import spans

    lengths, generator = Lengths.of([500] * (64 // scale)), torch.Generator().manual_seed(0)

    def theirs(_: int) -> Tensor:
        return _compute_mask_indices((64 // scale, 500), None, 0.8, 10, min_masks=2)

    def ours(_: int) -> Tensor:
        return spans(lengths, 0.08, 10, generator)

    shares = {name: sum(float(f(0).float().mean()) for _ in range(8)) / 8 for name, f in (("theirs", theirs), ("ours", ours))}
    return {"theirs": lambda n: ignore(theirs(n)), "ours": lambda n: ignore(ours(n))}, {
        f"share masked, {name}": value for name, value in shares.items()
    }


def codes(scale: int) -> tuple[Works, dict[str, float]]:
    """BEST-RQ's labels of 1,000 tokens of 320 channels, 8,192 codes of width 16."""
    from manyviews.objectives.random_codes import random_codes

    torch.manual_seed(0)
    x, projection, book = torch.randn(1000 // scale, 320), torch.randn(320, 16) * 0.1, torch.randn(8192, 16)

    def theirs() -> Tensor:
        """The norm of each difference (equation 1 as it is written)."""
        unit, own = F.normalize(book, dim=-1), F.normalize(x @ projection, dim=-1)
        return torch.linalg.vector_norm(unit[None] - own[:, None], dim=-1).argmin(1)

    same = (theirs() == random_codes(x, projection, book)).double().mean()
    return {"theirs": lambda _: ignore(theirs()), "ours": lambda _: ignore(random_codes(x, projection, book))}, {
        "labels equal": float(same)
    }


def filterbanks(scale: int) -> tuple[Works, dict[str, float]]:
    """80 log-mel bands of 32 clips of 10 s at 16 kHz, clip by clip as readers make them, and torchaudio's MelSpectrogram."""
    return _features("logmel", scale)


def kaldi(scale: int) -> tuple[Works, dict[str, float]]:
    """Kaldi's 80 filterbanks of the same clips, beside torchaudio.compliance.kaldi.fbank."""
    return _features("fbank", scale)


def _features(kind: str, scale: int) -> tuple[Works, dict[str, float]]:
    import torchaudio

    from manyviews.lengths import Lengths
    from manyviews_speech.batch import AudioBatch
    from manyviews_speech.frontend import LOG_FLOOR, Frontend
    from manyviews_speech.spec import FeatureSpec

    torch.manual_seed(0)
    clips = [0.1 * torch.randn(160_000) for _ in range(max(32 // scale, 2))]
    frontend = Frontend(FeatureSpec(kind=kind, channels=80), 16_000)
    transform = torchaudio.transforms.MelSpectrogram(16_000, 512, 400, 160, f_min=20.0, n_mels=80)

    def theirs(clip: Tensor) -> Tensor:
        if kind == "logmel":
            return (transform(clip) + LOG_FLOOR).log().T
        return torchaudio.compliance.kaldi.fbank(
            clip[None], num_mel_bins=80, sample_frequency=16_000, dither=0.0, energy_floor=0.0, low_freq=20.0
        )

    def ours(clip: Tensor) -> Tensor:
        points = Lengths.of([len(clip)])
        made = frontend(AudioBatch(clip, points, frames=points.map(frontend.count))).features
        assert made is not None
        return made

    apart = largest_difference((theirs(clips[0]),), (ours(clips[0]),))
    return {
        "theirs": lambda _: ignore(*(theirs(clip) for clip in clips)),
        "ours": lambda _: ignore(*(ours(clip) for clip in clips)),
    }, {"largest difference": apart}


def largest_difference(one: tuple[Tensor, ...], two: tuple[Tensor, ...]) -> float:
    """Relative to the largest value of each tensor."""
    return max(float((a - b).abs().max() / a.abs().max().clamp(min=1e-12)) for a, b in zip(one, two, strict=True))


def ignore(*made: Any) -> None:
    """It has been computed, which is all that is asked."""


PARTS = {
    "hubert": hubert,
    "negatives": negatives,
    "masks": masks,
    "codes": codes,
    "filterbanks": filterbanks,
    "kaldi": kaldi,
}


def recording(hours: float) -> dict[str, float]:
    """Train a small encoder for a few steps, then embed one recording of so many hours; its memory and CPU time."""
    import numpy as np
    import soundfile

    from manyviews.engine.pretrain import pretrain
    from manyviews_speech.synth import write_sounds

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run = pretrain(
            "speech/byol_a",
            data={"path": str(write_sounds(folder)), "rate": 16_000},
            encoder={"width": 64, "depth": 2},
            train={"steps": 2, "batch_size": 8, "epochs": None, "folder": place, "threads": 1},
            evaluate=[],
            track=None,
        )
        long, noise = folder / "long.wav", np.random.default_rng(0).normal(size=(16_000 * 60, 1)).astype(np.float32) * 0.1
        with soundfile.SoundFile(long, "w", 16_000, 1, "PCM_16") as file:
            for _ in range(round(hours * 60)):
                file.write(noise)
        code = (
            "import resource, sys; from manyviews.cli.main import main\n"
            "try: main()\nexcept SystemExit as end: assert not end.code\n"
            "used = resource.getrusage(resource.RUSAGE_SELF)\n"
            "print(used.ru_maxrss / 1e6, used.ru_utime + used.ru_stime)"
        )
        words = ["embed", str(run.folder), str(long), "-o", str(folder / "long.npy"), "--device", "cpu", "--batch-size", "32"]
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        memory, seconds = map(float, done.stdout.splitlines()[-1].split())
        vectors = np.load(folder / "long.npy", mmap_mode="r").shape[0]
    return {"hours": hours, "vectors": vectors, "largest memory, GB": round(memory, 3), "CPU seconds": round(seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--parts", nargs="+", choices=[*PARTS, "recording"], default=[*PARTS, "recording"])
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--quick", action="store_true", help="Small sizes, three rounds, a tenth of an hour.")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.hours = 3, 0.1
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for name in arguments.parts:
        if name == "recording":
            found[name] = recording(arguments.hours)
        else:
            works, equality = PARTS[name](8 if arguments.quick else 1)
            seconds = interleaved(works, arguments.rounds)
            found[name] = {
                "times as fast": round(ratio(seconds["theirs"], seconds["ours"]), 2),
                "CPU ms, ours": round(1000 * sorted(seconds["ours"])[arguments.rounds // 2], 2),
                **{key: float(f"{value:.3g}") for key, value in equality.items()},
            }
        print(f"{name}: {found[name]}", file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
