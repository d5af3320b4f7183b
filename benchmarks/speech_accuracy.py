"""Spoken digits by speakers never heard, and who speaks: what pretraining brings on FSDD, beside the encoder it began as.

    python benchmarks/speech_accuracy.py --data DATA/speech --out speech.jsonl --device cuda --jobs 8 --within 240
    python benchmarks/speech_accuracy.py --report --out speech.jsonl
    python benchmarks/speech_accuracy.py --quick

DATA holds fsdd.tsv and its recordings. What is read off frozen, pooled embeddings is read by logistic regression.

Digits, one speaker at a time held out of pretraining and of the probe. Front end, recipe, layer and penalty are chosen
within each fold: inner runs leave two speakers out, the fold's and another one, who validates; what did best on the
validation speakers is run with `--seeds` seeds and reported on the speaker of the fold, whom nothing was chosen by. The
untrained encoder is the pretrained one's own beginning, pooled alike, its layer and penalty chosen alike; raw input is the
mean spectrum of eight parts of a clip.

The official split (the same speakers): digits of the recipe that inner runs like best, who speaks of `speaker_dino`, which
no name is told; layer and penalty by a fifth of the training clips. Verification: all pairs of the 300 test clips, cosine,
equal error rate and minimum detection cost at a share of .05.

Workers take a fold's final runs as soon as its inner ones are there, then who speaks, then inner runs pair by pair, so that
an early stop leaves all candidates compared on the same pairs. A line is written for each finished run, and a run that has
one is not done again: the same command goes on. After `--within` seconds what still runs is ended. Prints Markdown tables
and, as its last line, one JSON object; a mean over fewer than six speakers says so.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import _pieces
from _measure import shared_data
from _speech_candidates import CANDIDATES, VOICES, WORDS

PENALTIES = (1000.0, 300.0, 100.0, 30.0, 10.0)
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
PAIRS = tuple((SPEAKERS[i], SPEAKERS[(i + step) % 6]) for step in (1, 2, 3) for i in range(6 if step < 3 else 3))
"""All fifteen; the first six leave each speaker out twice, the next six four times."""
BEGINNINGS = {
    name: [each["encoder"], each["data"].get("trim"), each["data"]["features"], each.get("rounds", 1)]
    for name, each in CANDIDATES.items()
}
CONTROLS = {name: next(one for one, other in BEGINNINGS.items() if other == own) for name, own in BEGINNINGS.items()}
"""The first candidate whose raw input and untrained encoder are those of this one: inner runs read them off that one alone."""
TARGET_SHARE = 0.05
"""Of pairs of one speaker, where verification is used; in `min_dcf`."""


@dataclass(frozen=True)
class Job:
    """A pretraining and what is read off it."""

    candidate: str
    held: tuple[str, ...]
    """Speakers that neither pretraining nor the probe hears; none: the official split."""
    seed: int


@dataclass(frozen=True)
class Clips:
    """What the table says of the recordings, in its order."""

    paths: tuple[str, ...]
    digits: Any
    speakers: Any
    index: Any
    """Which of the fifty recordings of a digit by a speaker; the official split tests on the first five."""

    @classmethod
    def of(cls, folder: Path) -> Clips:
        import numpy as np

        rows = list(csv.DictReader((folder / "fsdd.tsv").open(encoding="utf-8"), delimiter="\t"))
        paths = tuple(str((folder / row["path"]).resolve()) for row in rows)
        digits, index = (np.array([int(row[column]) for row in rows]) for column in ("label", "index"))
        return cls(paths, digits, np.array([row["speaker"] for row in rows]), index)

    def held(self, job: Job) -> Any:
        """What a run must not hear."""
        import numpy as np

        return np.isin(self.speakers, job.held) if job.held else self.index < 5


def run_job(job: Job, folder: Path, device: str, epochs: float | None) -> list[dict[str, Any]]:
    """Pretrain, and read what is asked off raw input (where no other run does) and off every layer of both encoders."""
    import torch

    from manyviews.engine.load import load_trained
    from manyviews.engine.parts import build_source
    from manyviews.engine.pretrain import pretrain
    from manyviews.track.noise import quiet

    torch.set_num_threads(1)
    clips, began = Clips.of(folder), time.perf_counter()
    recipe = {key: dict(value) if isinstance(value, dict) else value for key, value in CANDIDATES[job.candidate].items()}
    with tempfile.TemporaryDirectory() as place, quiet():
        manifest = Path(place) / "clips.tsv"
        _write(manifest, clips, clips.held(job))
        data = {"path": str(manifest), "splits": "split", "speaker": "speaker", **recipe.pop("data")}
        train = {"device": device, "threads": 1, "folder": place, "watch_every": 1_000_000}
        train |= recipe.pop("train") | ({"epochs": epochs} if epochs else {})
        name, rounds = recipe.pop("recipe"), recipe.pop("rounds", 1)
        for number in range(rounds):
            run = pretrain(name, data=data, train=train | {"seed": job.seed + 100 * number}, evaluate=[], track=None, **recipe)
            data["partner_run"] = str(run.folder)
        trained = load_trained(run.folder, device=device)
        seconds = time.perf_counter() - began
        source = build_source(trained.recipe, trained.spec)
        vectors = {"pretrained": _layers(trained.encoder, source, device)}
        if len(job.held) != 2 or job.candidate == CONTROLS[job.candidate]:
            vectors |= {"raw input": {"parts": _raw(source)}, "untrained": _layers(trained.untrained(), source, device)}
    records = [
        {"representation": name, "layer": layer, **found}
        for name, layers in vectors.items()
        for layer, x in layers.items()
        for found in read_off(x, clips, job)
    ]
    times = {"training": round(seconds, 1), "reading": round(time.perf_counter() - began - seconds, 1)}
    return [{**record, "steps": trained.manifest["step"], "seconds": times} for record in records]


def _write(path: Path, clips: Clips, held: Any) -> None:
    """A manifest without digits: nobody can learn from what is not there."""
    rows = zip(clips.paths, clips.speakers, held, strict=True)
    lines = [f"{name}\t{speaker}\t{'test' if out else 'train'}" for name, speaker, out in rows]
    path.write_text("path\tspeaker\tsplit\n" + "\n".join(lines) + "\n", encoding="utf-8")


def _raw(source: Any) -> Any:
    """The mean spectrum of eight parts of each clip."""
    import numpy as np
    import torch

    from manyviews_speech.partners import in_parts

    frames, counts = source.frame_features(np.arange(len(source)))
    return torch.stack([in_parts(torch.from_numpy(part)) for part in np.split(frames, counts.cumsum()[:-1])])


def _layers(encoder: Any, source: Any, device: str) -> dict[str, Any]:
    """All clips, pooled as the encoder pools, at each of its layers (from 1)."""
    import numpy as np
    import torch

    from manyviews.evaluate.embed import encodings
    from manyviews_speech.encoder import pooled

    encoder.to(device)
    parts: dict[str, list[Any]] = defaultdict(list)
    for _, _, encoding in encodings(encoder, source, np.arange(len(source)), 500, torch.device(device), layers=True):
        for number, tokens in enumerate(encoding.layers, 1):
            parts[str(number)].append(pooled(tokens, encoding.lengths, encoder.pool).float().cpu())
    return {name: torch.cat(rows) for name, rows in parts.items()}


def read_off(x: Any, clips: Clips, job: Job) -> Iterator[dict[str, Any]]:
    """For every penalty the accuracy on each held-out speaker, or on validation and test clips of the official split."""
    import numpy as np

    held = clips.held(job)
    if job.held:
        for speaker, values in accuracies(x, clips.digits, ~held, {s: clips.speakers == s for s in job.held}).items():
            yield {"task": "digits", "tested": speaker, "accuracy": values}
        return
    speakers = np.unique(clips.speakers, return_inverse=True)[1]
    voices = job.candidate in VOICES
    truth, valid = speakers if voices else clips.digits, ~held & (clips.index < 14)
    chosen = accuracies(x, truth, ~held & ~valid, {"valid": valid})["valid"]
    tested = accuracies(x, truth, ~held, {"test": held})["test"]
    found = {"task": "speakers" if voices else "digits", "tested": "official", "valid": chosen, "accuracy": tested}
    yield found | (verified(x[np.flatnonzero(held)], speakers[held]) if voices else {})


def accuracies(x: Any, y: Any, fit: Any, tested: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Of logistic regressions with each penalty, on each group of clips."""
    import numpy as np
    import torch

    from manyviews.evaluate.linear import logistic_path
    from manyviews.evaluate.standardize import Standardizer

    rows = np.flatnonzero(fit)
    standardizer = Standardizer.fit(x[rows], True)
    found: dict[str, dict[str, float]] = {name: {} for name in tested}
    for model in logistic_path(standardizer(x[rows]), torch.from_numpy(y[rows]), int(y.max()) + 1, PENALTIES, 100):
        for name, where in tested.items():
            guess = model(standardizer(x[np.flatnonzero(where)])).argmax(1).numpy()
            found[name][f"{model.l2:g}"] = float((guess == y[where]).mean())
    return found


def verified(x: Any, speakers: Any) -> dict[str, float]:
    """Equal error rate and minimum detection cost of the cosine of all pairs of these clips."""
    import numpy as np
    import torch

    from manyviews.evaluate.verification import equal_error_rate, least_cost

    left, right = np.triu_indices(len(x), 1)
    unit = torch.nn.functional.normalize(x.double(), dim=1)
    score, same = (unit @ unit.T).numpy()[left, right], speakers[left] == speakers[right]
    return {"eer": equal_error_rate(same, score), "min_dcf": least_cost(same, score, TARGET_SHARE)}


def inner_jobs(candidates: Sequence[str], pairs: int) -> list[Job]:
    """Pair by pair, those of two rounds first."""
    longest = sorted(candidates, key=lambda name: -CANDIDATES[name].get("rounds", 1))
    return [Job(name, pair, 0) for pair in PAIRS[:pairs] for name in longest]


def chosen(lines: Sequence[Mapping[str, Any]], held: str, representation: str, candidate: str | None = None) -> dict[str, Any]:
    """Candidate, layer and penalty of the best mean accuracy over the validation speakers of the fold that holds out `held`.

    Args:
        lines: Of inner runs.
        held: Speaker whose accuracies are not looked at, and whose sound no run that is looked at heard; "": all are looked at.
        representation: `pretrained`, `untrained` or `raw input`.
        candidate: Choose layer and penalty alone.
    """
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    if candidate is not None and representation != "pretrained":
        candidate = CONTROLS[candidate]
    for line in lines:
        job = line["job"]
        if len(job["held"]) != 2 or (held and held not in job["held"]) or candidate not in (None, job["candidate"]):
            continue
        for record in line["records"]:
            if record["representation"] == representation and record["tested"] != held:
                for penalty, value in record["accuracy"].items():
                    values[job["candidate"], record["layer"], penalty].append(value)
    most = max((len(each) for each in values.values()), default=0)
    if not most:
        raise SystemExit(f"no inner results for the fold that holds out {held or 'nobody'}")
    best = max((key for key, each in values.items() if len(each) == most), key=lambda key: mean(values[key]))
    return {
        "candidate": best[0],
        "layer": best[1],
        "penalty": best[2],
        "validation": round(mean(values[best]), 4),
        "runs": most,
    }


def final_jobs(lines: Sequence[Mapping[str, Any]], inner: Sequence[Job], seeds: int) -> list[Job]:
    """Of the folds whose inner runs are there, what they choose; and of the official split, once all are."""
    done = {_job(line) for line in lines}
    jobs = []
    for speaker in SPEAKERS:
        own = [job for job in inner if speaker in job.held]
        if own and done.issuperset(own):
            jobs += [Job(chosen(lines, speaker, "pretrained")["candidate"], (speaker,), seed) for seed in range(seeds)]
    if done.issuperset(inner):
        jobs += [Job(chosen(lines, "", "pretrained")["candidate"], (), seed) for seed in range(seeds)]
    return jobs


def _job(line: Mapping[str, Any]) -> Job:
    return Job(line["job"]["candidate"], tuple(line["job"]["held"]), line["job"]["seed"])


def report(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Tables of inner runs and of final ones."""
    return {"inner": report_inner(lines), **report_final(lines)}


def report_inner(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each candidate's best layer and penalty, over all validation speakers."""
    lines = [line for line in lines if len(line["job"]["held"]) == 2]
    names = dict.fromkeys(line["job"]["candidate"] for line in lines)
    kinds = ("pretrained", "untrained", "raw input")
    found = {
        name: {kind: chosen(lines, "", kind, name) for kind in kinds if kind == "pretrained" or CONTROLS[name] in names}
        for name in names
    }
    print("| candidate | pretrained | layer | untrained | layer | raw input | speakers | steps | s training, reading |")
    print("| :-- | --: | --: | --: | --: | --: | --: | --: | --: |")
    for name, own in sorted(found.items(), key=lambda item: -item[1]["pretrained"]["validation"]):
        runs = [line["records"][0] for line in lines if line["job"]["candidate"] == name]
        asked = [(kind, part) for kind in kinds for part in ("validation", "layer")][:-1]
        cells = [str(own[kind][part]) if kind in own else "" for kind, part in asked]
        spent = [f"{mean(run['seconds'][part] for run in runs):.0f}" for part in ("training", "reading")]
        print(f"| {name} | {' | '.join(cells)} | {own['pretrained']['runs']} | {runs[0]['steps']} | {', '.join(spent)} |")
    return found


def report_final(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean over folds, and its deviation over seeds; layer and penalty as each fold's validation chose them."""
    values: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    folds: dict[str, Any] = {}
    for line in lines:
        job = line["job"]
        if len(job["held"]) == 2:
            continue
        held = job["held"][0] if job["held"] else ""
        for kind in ("raw input", "untrained", "pretrained"):
            records = [record for record in line["records"] if record["representation"] == kind]
            for task, value in _of_fold(lines, records, held, job) if held else _official(records):
                for name in [task, f"{task}: {held}"] if held else [task]:
                    values[name, kind][job["seed"]].append(value)
        if held:
            folds[held] = chosen(lines, held, "pretrained", job["candidate"])
    found: dict[str, Any] = {}
    print("\n| task | representation | value | seeds | speakers |\n| :-- | :-- | --: | --: | --: |")
    for (task, representation), seeds in sorted(values.items()):
        folds_done = max(map(len, seeds.values()))  # a seed that has not seen as many speakers is no mean over the same ones
        each = [mean(accuracies) for accuracies in seeds.values() if len(accuracies) == folds_done]
        spread = stdev(each) if len(each) > 1 else 0.0
        print(f"| {task} | {representation} | {mean(each):.4f} ± {spread:.4f} | {len(each)} | {folds_done} |")
        value = {"mean": round(mean(each), 4), "std": round(spread, 4)}
        found[f"{task}|{representation}"] = value | {"seeds": len(each), "speakers": folds_done}
    return {"chosen": folds, "results": found}


def _of_fold(
    lines: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]], held: str, job: Mapping[str, Any]
) -> Iterator[tuple[str, float]]:
    choice = chosen(lines, held, records[0]["representation"], job["candidate"])
    record = next(record for record in records if record["layer"] == choice["layer"])
    yield "digits, speaker held out", record["accuracy"][choice["penalty"]]


def _official(records: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """Layer and penalty by the validation clips; verification has nothing to choose: the last layer."""
    choices = [(value, record, penalty) for record in records for penalty, value in record["valid"].items()]
    _, record, penalty = max(choices, key=lambda choice: choice[0])
    yield f"{record['task']}, official split", record["accuracy"][penalty]
    for name in ("eer", "min_dcf"):
        if name in records[-1]:
            yield f"verification, {name}", records[-1][name]


def study(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """What is not there yet, as far as the time goes; all lines, and those of what failed now."""
    inner = inner_jobs(arguments.candidates, arguments.pairs)
    voices = [Job(name, (), seed) for name in VOICES for seed in range(arguments.seeds)]

    def wanted(lines: Sequence[Mapping[str, Any]]) -> list[Job]:
        return [*final_jobs(finished(lines), inner, arguments.seeds), *voices, *inner]

    do = partial(run_job, folder=arguments.data, device=arguments.device, epochs=arguments.epochs)
    return _pieces.conduct(wanted, do, arguments.out, jobs=arguments.jobs, within=arguments.within)


def finished(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The others say why they failed."""
    return [line for line in lines if "records" in line]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=shared_data("speech"))
    parser.add_argument("--out", type=Path, default=Path("speech.jsonl"), help="JSON lines")
    parser.add_argument("--candidates", nargs="+", default=list(WORDS), choices=list(WORDS), help="and their controls")
    parser.add_argument("--pairs", type=int, default=6, help="of speakers left out by inner runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--within", type=float, default=86_400.0, help="seconds of all")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--epochs", type=float, help="in place of each candidate's own")
    parser.add_argument("--report", action="store_true", help="of what is there; nothing is run")
    parser.add_argument("--quick", action="store_true", help="one candidate, one pair, one seed, a twentieth of an epoch")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.candidates, arguments.pairs, arguments.seeds, arguments.epochs = ["hubert"], 1, 1, 0.05
        arguments.out = Path(tempfile.mkdtemp()) / "quick.jsonl"
    arguments.candidates = list(dict.fromkeys(one for name in arguments.candidates for one in (CONTROLS[name], name)))
    lines = finished(_pieces.read(arguments.out)) if arguments.report else study(arguments)
    errors = [line for line in lines if "error" in line]
    print(json.dumps({"errors": errors, **report(finished(lines))}))
    if errors:
        sys.exit(1)


if __name__ == "__main__":
    main()
