"""Which digit is said when: events on frozen frames, in scenes that are made of FSDD's recordings.

    python benchmarks/speech_events.py --data DATA/speech --recipes hubert_frames,atst_frame --seeds 3 --last
    python benchmarks/speech_events.py --quick

Scenes of 8 seconds hold six spoken digits, some of them at the same time, over pink noise 20 to 30 dB below them; when each
begins and ends is known. Scenes that test are made of the official split's test recordings, by the same speakers. Each
recipe is pretrained on the training scenes without their events, then the task `events` reads them off raw input, the
untrained and the pretrained encoder: off the layer that is best on validation scenes, with `--last` off the last one too.
Each run is a process of its own and a line in `--out`; the same command goes on. Prints a Markdown table and, as its last
line, one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import _pieces
import numpy as np
import soundfile
from _measure import shared_data

RATE, SECONDS, DIGITS = 8000, 8.0, 6
SCENES = {"train": 160, "valid": 40, "test": 60}
ENCODER = {"width": 192, "depth": 4, "stack": 4}
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


def run_job(recipe: str, seed: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Pretrain without the events, and read them off all representations: the layer that validation chooses, and the last."""
    from manyviews.engine.judge import judge
    from manyviews.engine.load import load_trained
    from manyviews.engine.parts import build_source
    from manyviews.engine.pretrain import pretrain
    from manyviews.recipe.model import Evaluation
    from manyviews.track.noise import quiet

    scenes, epochs = (SCENES, arguments.epochs) if not arguments.quick else ({"train": 12, "valid": 6, "test": 6}, 1.0)
    with tempfile.TemporaryDirectory() as place, quiet():
        manifest, events = write_scenes(arguments.data, Path(place), scenes)
        run = pretrain(
            f"speech/{recipe}",
            data={"path": str(manifest), "splits": "split", "events": str(events), "rate": RATE},
            encoder=ENCODER,
            evaluate=[],
            train={"epochs": epochs, "batch_size": 8, "batch_total": None, "seed": seed, "threads": 1}
            | {"device": arguments.device, "folder": place, "watch_every": 1_000_000},
            track=None,
        )
        trained = load_trained(run.folder, device=arguments.device)
        encoders = {"untrained": trained.untrained(), "pretrained": trained.encoder}
        tasks = [Evaluation(task="events", name="best layer"), Evaluation(task="events", name="last layer", layer="last")]
        asked = trained.recipe.model_copy(update={"evaluate": tasks if arguments.last else tasks[:1]})
        table = judge(asked, encoders, build_source(trained.recipe, trained.spec), raw=seed == 0)
    return [
        {"representation": row.representation, "read": row.task, "notes": row.scores.notes}
        | {name: row.scores.metrics[name] for name in METRICS}
        for row in table.rows
    ]


def summary(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and deviation over seeds, of each recipe and representation."""
    values: dict[tuple[str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        for record in line["records"]:
            # Raw input has no layers and no seed: what two tasks or recipes read off it is one thing.
            raw = record["representation"] == "raw input"
            key = ("", "raw input", "") if raw else (line["job"][0], record["representation"], record["read"])
            values[key].append(record)
    found = {}
    for key, records in sorted(values.items()):
        each = {name: [record[name] for record in records] for name in METRICS}
        spread = {name: round(stdev(v), 4) if len(v) > 1 and key[0] else 0.0 for name, v in each.items()}
        layers = [note for record in records for note in record["notes"] if note.startswith("layer ")]
        found["|".join(key)] = {name: {"mean": round(mean(v), 4), "std": spread[name]} for name, v in each.items()} | {
            "seeds": len(records) if key[0] else 1,
            "layers": layers,
        }
    return found


def markdown(found: Mapping[str, Any]) -> str:
    """A line for each recipe and representation."""
    lines = [f"| recipe | representation | layer | {' | '.join(METRICS)} | seeds |", "| :-- | :-- | :-- |" + " --: |" * 6]
    for key, row in found.items():
        recipe, representation, read = key.split("|")
        cells = [f"{row[name]['mean']:.3f}" + (f" ± {row[name]['std']:.3f}" if row["seeds"] > 1 else "") for name in METRICS]
        lines.append(f"| {recipe} | {representation} | {read} | {' | '.join(cells)} | {row['seeds']} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=shared_data("speech"))
    parser.add_argument("--out", type=Path, default=Path("speech_events.jsonl"), help="JSON lines, one a finished run")
    parser.add_argument("--recipes", default="hubert_frames")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=float, default=40.0)
    parser.add_argument("--last", action="store_true", help="read the last layer too")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--within", type=float, help="seconds of all; what still runs then is ended")
    parser.add_argument("--quick", action="store_true", help="few scenes, one epoch")
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(run_job(arguments.job[0], int(arguments.job[1]), arguments)))
        return
    if arguments.quick:
        arguments.out = Path(tempfile.mkdtemp()) / "quick.jsonl"
    options = ["--data", str(arguments.data), "--epochs", str(arguments.epochs), "--device", arguments.device]
    options += [f"--{name}" for name in ("last", "quick") if getattr(arguments, name)]
    wanted = [(recipe, seed) for seed in range(arguments.seeds) for recipe in arguments.recipes.split(",")]
    lines = _pieces.run(
        wanted,
        lambda job: ["--job", *map(str, job), *options],
        arguments.out,
        jobs=arguments.jobs,
        within=arguments.within,
    )
    found = summary([line for line in lines if "records" in line])
    print(markdown(found))
    print(json.dumps({"errors": [line for line in lines if "error" in line], "results": found}))


if __name__ == "__main__":
    main()
