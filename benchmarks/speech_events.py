"""Which digit is said when: events on frozen frames, in scenes that are made of FSDD's recordings.

    python benchmarks/speech_events.py --data DATA/speech [--recipes hubert_frames,atst_frame] [--seeds 3] [--epochs 40]
    python benchmarks/speech_events.py --quick

Scenes of 8 seconds hold six spoken digits, some of them at the same time, over pink noise 20 to 30 dB below them; when each
begins and ends is known. Scenes that test are made of the official split's test recordings, by the same speakers. Each
recipe is pretrained on the training scenes without their events, then `manyviews evaluate` reads events off raw input, the
untrained and the pretrained encoder. Prints a Markdown table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import soundfile
from _measure import shared_data

RATE, SECONDS, DIGITS = 8000, 8.0, 6
SCENES = {"train": 160, "valid": 40, "test": 60}
METRICS = ("segment_f1", "segment_f1_macro", "segment_error", "event_f1", "event_f1_macro")


def write_scenes(data: Path, folder: Path, scenes: dict[str, int]) -> tuple[Path, Path]:
    """A manifest of scenes with their splits, and the list of their events."""
    rows = list(csv.DictReader((data / "fsdd.tsv").open(encoding="utf-8"), delimiter="\t"))
    parts = {
        split: [row for row in rows if (int(row["index"]) < 5, int(row["index"]) < 10) == which]
        for split, which in {"test": (True, True), "valid": (False, True), "train": (False, False)}.items()
    }
    rng, manifest, events = np.random.default_rng(0), ["path\tsplit"], ["filename\tonset\toffset\tevent_label"]
    for split, count in scenes.items():
        for number in range(count):
            name = f"{split}-{number}.wav"
            scene, said = _scene(data, [parts[split][i] for i in rng.integers(len(parts[split]), size=DIGITS)], rng)
            soundfile.write(folder / name, scene, RATE)
            manifest.append(f"{name}\t{split}")
            events += [f"{name}\t{start:.3f}\t{stop:.3f}\t{digit}" for start, stop, digit in said]
    for path, lines in ((folder / "scenes.tsv", manifest), (folder / "events.tsv", events)):
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "scenes.tsv", folder / "events.tsv"


def _scene(data: Path, chosen: list[dict[str, str]], rng: np.random.Generator) -> tuple[Any, list[tuple[float, float, str]]]:
    length = round(SECONDS * RATE)
    spectrum = np.fft.rfft(rng.normal(size=length))
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), length)
    scene = noise / noise.std() * 0.1 * 10 ** (-rng.uniform(20, 30) / 20)
    said = []
    for row in chosen:
        wave, rate = soundfile.read(data / row["path"])
        assert rate == RATE
        wave = wave[: length // 2] / max(wave.std(), 1e-6) * 0.1 * 10 ** (rng.uniform(-3, 3) / 20)
        start = int(rng.integers(length - len(wave)))
        scene[start : start + len(wave)] += wave
        said.append((start / RATE, (start + len(wave)) / RATE, row["label"]))
    return scene.clip(-1, 1).astype(np.float32), said


def main() -> None:
    from manyviews.engine.judge import evaluate_run
    from manyviews.engine.pretrain import pretrain
    from manyviews.track.noise import quiet

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=shared_data("speech"))
    parser.add_argument("--recipes", default="hubert_frames")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=float, default=40.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="few scenes, one epoch")
    arguments = parser.parse_args()
    scenes, epochs = ({"train": 12, "valid": 6, "test": 6}, 1.0) if arguments.quick else (SCENES, arguments.epochs)
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as place, quiet():
        manifest, events = write_scenes(arguments.data, Path(place), scenes)
        for recipe in arguments.recipes.split(","):
            for seed in range(arguments.seeds):
                run = pretrain(
                    f"speech/{recipe}",
                    data={"path": str(manifest), "splits": "split", "events": str(events), "rate": RATE},
                    encoder={"width": 128, "depth": 3, "stack": 4},
                    evaluate=[{"task": "events"}],
                    train={"epochs": epochs, "batch_size": 8, "batch_total": None, "seed": seed, "threads": 1}
                    | {"device": arguments.device, "folder": place},
                    track=None,
                )
                for row in evaluate_run(run.folder, device=arguments.device).rows:
                    for name in METRICS:
                        values[recipe, row.representation, name].append(row.scores.metrics[name])
    print(f"| recipe | representation | {' | '.join(METRICS)} |\n| :-- | :-- |{' --: |' * len(METRICS)}")
    for recipe, kind in dict.fromkeys(key[:2] for key in values):
        cells = [f"{mean(values[recipe, kind, name]):.3f}" for name in METRICS]
        print(f"| {recipe} | {kind} | {' | '.join(cells)} |")
    found = {
        "|".join(key): {
            "mean": round(mean(each), 4),
            "std": round(stdev(each), 4) if len(each) > 1 else 0.0,
            "seeds": len(each),
        }
        for key, each in values.items()
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
