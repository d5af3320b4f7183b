"""Spoken digits by speakers never heard: what pretraining brings on FSDD, beside the encoder that it began with.

    python benchmarks/speech_accuracy.py inner --data DATA/speech --out inner.jsonl [--device cuda] [--jobs 12]
    python benchmarks/speech_accuracy.py final --data DATA/speech --inner inner.jsonl --out final.jsonl
    python benchmarks/speech_accuracy.py --quick

DATA holds fsdd.tsv and its recordings. Digits are read off frozen, pooled embeddings by logistic regression.

`inner` compares candidates. Two speakers are left out of pretraining and of the probe; each of them validates for the outer
fold that holds out the other. `final` holds out one speaker at a time, also in pretraining; its candidate, the layer that
is pooled and the probe's penalty are those that did best on the validation speakers of that fold, which are never the one
held out. It also runs the official split (the same speakers; what `inner` liked best) and speaker identification.

The untrained encoder is the pretrained one's own beginning, pooled alike, its layer and penalty chosen alike. A line is written
for each finished run, and a run that has one is not done again. Prints a Markdown table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from _measure import shared_data
from _speech_candidates import CANDIDATES

PENALTIES = (1000.0, 300.0, 100.0, 30.0, 10.0)
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
PAIRS = tuple(zip(SPEAKERS, SPEAKERS[1:] + SPEAKERS[:1], strict=True))
"""Each speaker is left out twice, so that every outer fold has two validation speakers."""


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
    test: Any
    """True where the official split tests."""

    @classmethod
    def of(cls, folder: Path) -> Clips:
        import numpy as np

        rows = list(csv.DictReader((folder / "fsdd.tsv").open(encoding="utf-8"), delimiter="\t"))
        paths = tuple(str((folder / row["path"]).resolve()) for row in rows)
        digits, speakers = np.array([int(row["label"]) for row in rows]), np.array([row["speaker"] for row in rows])
        return cls(paths, digits, speakers, np.array([row["official_split"] == "test" for row in rows]))

    def held(self, job: Job) -> Any:
        """What a run must not hear."""
        import numpy as np

        return np.isin(self.speakers, job.held) if job.held else self.test


def run_job(job: Job, folder: Path, device: str, epochs: float | None) -> list[dict[str, Any]]:
    """Pretrain, and read digits (and, of the official split, speakers) off every layer of both encoders."""
    import torch

    from manyviews.engine.load import load_trained
    from manyviews.engine.parts import build_source
    from manyviews.engine.pretrain import pretrain

    torch.set_num_threads(1)
    clips, began = Clips.of(folder), time.perf_counter()
    recipe = {key: dict(value) if isinstance(value, dict) else value for key, value in CANDIDATES[job.candidate].items()}
    with tempfile.TemporaryDirectory() as place:
        manifest = Path(place) / "clips.tsv"
        _write(manifest, clips, clips.held(job))
        data = {"path": str(manifest), "splits": "split", "speaker": "speaker", **recipe.pop("data")}
        train = {"seed": job.seed, "device": device, "threads": 1, "folder": place, "watch_every": 1_000_000}
        train |= recipe.pop("train") | ({"epochs": epochs} if epochs else {})
        name, rounds = recipe.pop("recipe"), recipe.pop("rounds", 1)
        for number in range(rounds):
            run = pretrain(name, data=data, train=train | {"seed": job.seed + 100 * number}, evaluate=[], track=None, **recipe)
            data["partner_run"] = str(run.folder)
        seconds = round(time.perf_counter() - began, 1)
        trained = load_trained(run.folder, device=device)
        source = build_source(trained.recipe, trained.spec)
        steps = trained.manifest["steps"]
        vectors = {
            "untrained": _layers(trained.untrained(), source, device),
            "pretrained": _layers(trained.encoder, source, device),
        }
    records = [
        {"representation": name, "layer": layer, **found}
        for name, layers in vectors.items()
        for layer, x in layers.items()
        for found in read_off(x, clips, job)
    ]
    return [{**record, "steps": steps, "seconds": seconds} for record in records]


def _write(path: Path, clips: Clips, held: Any) -> None:
    """A manifest without digits: nobody can learn from what is not there."""
    rows = zip(clips.paths, clips.speakers, held, strict=True)
    lines = [f"{name}\t{speaker}\t{'test' if out else 'train'}" for name, speaker, out in rows]
    path.write_text("path\tspeaker\tsplit\n" + "\n".join(lines) + "\n", encoding="utf-8")


def _layers(encoder: Any, source: Any, device: str) -> dict[str, Any]:
    """All clips, pooled as the encoder pools, at each of its layers (from 1)."""
    import numpy as np
    import torch

    from manyviews.evaluate.embed import evaluating
    from manyviews.view import View
    from manyviews_speech.encoder import pooled

    encoder.to(device)
    parts: dict[str, list[Any]] = defaultdict(list)
    for start in range(0, len(source), 250):
        with evaluating(encoder):
            batch = source.batch(np.arange(start, min(start + 250, len(source)))).to(torch.device(device))
            encoding = encoder(View(batch, encoder.layout(batch), layers=True))
            for number, tokens in enumerate(encoding.layers, 1):
                parts[str(number)].append(pooled(tokens, encoding.lengths, encoder.pool).float().cpu())
    return {name: torch.cat(rows) for name, rows in parts.items()}


def read_off(x: Any, clips: Clips, job: Job) -> Iterator[dict[str, Any]]:
    """Accuracy on each held-out speaker, or on the official test clips, for every penalty."""
    held = clips.held(job)
    if job.held:
        for speaker, values in accuracies(x, clips.digits, ~held, {s: clips.speakers == s for s in job.held}).items():
            yield {"task": "digits", "tested": speaker, "accuracy": values}
        return
    import numpy as np

    own = np.unique(clips.speakers, return_inverse=True)[1]
    yield {"task": "digits", "tested": "official", "accuracy": accuracies(x, clips.digits, ~held, {"": held})[""]}
    yield {"task": "speakers", "tested": "official", "accuracy": accuracies(x, own, ~held, {"": held})[""]}


def accuracies(x: Any, y: Any, fit: Any, tested: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Of logistic regressions with each penalty, on each group of clips."""
    import numpy as np
    import torch

    from manyviews.evaluate.linear import logistic_path
    from manyviews.evaluate.standardize import Standardizer

    rows = np.flatnonzero(fit)
    standardizer = Standardizer.fit(x[rows], True)
    found: dict[str, dict[str, float]] = {name: {} for name in tested}
    for model in logistic_path(standardizer(x[rows]), torch.from_numpy(y[rows]), int(y.max()) + 1, PENALTIES, 200):
        for name, where in tested.items():
            guess = model(standardizer(x[np.flatnonzero(where)])).argmax(1).numpy()
            found[name][f"{model.l2:g}"] = float((guess == y[where]).mean())
    return found


def inner_jobs(candidates: Sequence[str], pairs: int) -> list[Job]:
    """Pair by pair, so that an early stop leaves all candidates compared on the same."""
    return [Job(name, pair, 0) for pair in PAIRS[:pairs] for name in candidates]


def chosen(lines: Sequence[Mapping[str, Any]], held: str, representation: str, candidate: str | None = None) -> dict[str, Any]:
    """Candidate, layer and penalty of the best mean accuracy over the validation speakers of the fold that holds out `held`.

    Args:
        lines: Of `inner`.
        held: Speaker whose accuracies are not looked at, and whose sound no run that is looked at heard; "": all are looked at.
        representation: `pretrained` or `untrained`.
        candidate: Choose layer and penalty alone.
    """
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for line in lines:
        job = line["job"]
        if (held and held not in job["held"]) or candidate not in (None, job["candidate"]):
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


def final_jobs(inner: Sequence[Mapping[str, Any]], seeds: int) -> list[Job]:
    """The candidate of each fold, over seeds; and the official split."""
    folds = {speaker: chosen(inner, speaker, "pretrained")["candidate"] for speaker in SPEAKERS}
    jobs = [Job(folds[speaker], (speaker,), seed) for seed in range(seeds) for speaker in SPEAKERS]
    return jobs + [Job(chosen(inner, "", "pretrained")["candidate"], (), seed) for seed in range(seeds)]


def report_inner(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each candidate's best layer and penalty, over all validation speakers."""
    names = dict.fromkeys(line["job"]["candidate"] for line in lines)
    found = {name: {kind: chosen(lines, "", kind, name) for kind in ("pretrained", "untrained")} for name in names}
    print("| candidate | pretrained | layer | untrained | layer | steps | seconds |\n|---|---|---|---|---|---|---|")
    for name, kinds in sorted(found.items(), key=lambda item: -item[1]["pretrained"]["validation"]):
        runs = [line["records"][0] for line in lines if line["job"]["candidate"] == name]
        cells = [f"{kinds[kind]['validation']:.3f} | {kinds[kind]['layer']}" for kind in ("pretrained", "untrained")]
        print(f"| {name} | {' | '.join(cells)} | {runs[0]['steps']} | {mean(run['seconds'] for run in runs):.0f} |")
    return found


def report_final(inner: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean over folds, and its deviation over seeds; layer and penalty as each fold's validation speakers chose them."""
    values: dict[tuple[str, str], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        job = line["job"]
        held = job["held"][0] if job["held"] else ""
        for record in line["records"]:
            choice = chosen(inner, held, record["representation"], job["candidate"])
            if record["layer"] != choice["layer"]:
                continue
            task = f"{record['task']}, {'speaker held out' if held else 'official split'}"
            for name in [task, f"{task}: {held}"] if held else [task]:
                values[name, record["representation"]][job["seed"]].append(record["accuracy"][choice["penalty"]])
    found: dict[str, Any] = {}
    print("| task | representation | accuracy | seeds |\n|---|---|---|---|")
    for (task, representation), seeds in sorted(values.items()):
        each = [mean(accuracies) for accuracies in seeds.values()]
        spread = stdev(each) if len(each) > 1 else 0.0
        print(f"| {task} | {representation} | {mean(each):.4f} ± {spread:.4f} | {len(each)} |")
        found[f"{task}|{representation}"] = {"mean": round(mean(each), 4), "std": round(spread, 4), "seeds": len(each)}
    return {"chosen": {speaker: chosen(inner, speaker, "pretrained") for speaker in SPEAKERS}, "results": found}


def work(task: tuple[Job, Path, str, float | None]) -> dict[str, Any]:
    """In a worker, which does many runs one after another."""
    job = task[0]
    try:
        return {"job": asdict(job), "records": run_job(*task)}
    except Exception as error:  # a run that fails must not end the others: it is told, and done again next time
        return {"job": asdict(job), "error": f"{type(error).__name__}: {error}"}


def run_all(jobs: Sequence[Job], arguments: argparse.Namespace, out: Path) -> list[dict[str, Any]]:
    """What is not there yet, `--jobs` at a time; all finished lines."""
    lines = read_lines(out)
    done = {(line["job"]["candidate"], tuple(line["job"]["held"]), line["job"]["seed"]) for line in lines}
    tasks = [
        (job, arguments.data, arguments.device, arguments.epochs)
        for job in jobs
        if (job.candidate, job.held, job.seed) not in done
    ]
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with multiprocessing.get_context("spawn").Pool(min(arguments.jobs, max(len(tasks), 1))) as pool, out.open("a") as file:
        for line in pool.imap_unordered(work, tasks):
            file.write(json.dumps(line) + "\n")
            file.flush()
            print(f"{line['job']}: {line.get('error', 'done')}", file=sys.stderr)
    return read_lines(out)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Those of finished runs."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in lines if "records" in line]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", nargs="?", choices=["inner", "final"], default="final")
    parser.add_argument("--data", type=Path, default=shared_data("speech"))
    parser.add_argument("--out", type=Path, default=None, help="JSON lines; default: speech_<stage>.jsonl")
    parser.add_argument("--inner", type=Path, default=Path("speech_inner.jsonl"), help="What `final` chooses by.")
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES))
    parser.add_argument("--pairs", type=int, default=len(PAIRS), help="Of speakers left out by `inner`.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--epochs", type=float, help="In place of each candidate's own.")
    parser.add_argument("--quick", action="store_true", help="One small candidate, one pair, one epoch.")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.stage, arguments.candidates, arguments.pairs, arguments.epochs = "inner", list(CANDIDATES)[:1], 1, 1.0
        arguments.out = Path(tempfile.mkdtemp()) / "quick.jsonl"
    out = arguments.out or Path(f"speech_{arguments.stage}.jsonl")
    if arguments.stage == "inner":
        lines = run_all(inner_jobs(arguments.candidates, arguments.pairs), arguments, out)
        print(json.dumps({"candidates": report_inner(lines)}))
    else:
        inner = read_lines(arguments.inner)
        print(json.dumps(report_final(inner, run_all(final_jobs(inner, arguments.seeds), arguments, out))))


if __name__ == "__main__":
    main()
