"""A served encoder under load: 200 requests at once, answers, refusals, memory.

python benchmarks/serving.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from manyviews.engine.pretrain import pretrain
from manyviews.testing.servers import post, serving
from manyviews.track.register import register

REQUESTS, AT_ONCE = 1000, 200


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    requests = 200 if parser.parse_args().quick else REQUESTS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rng = np.random.default_rng(0)
        frame = pd.DataFrame(
            {f"x{place}": rng.normal(size=2000) for place in range(12)} | {"kind": rng.choice(list("abc"), 2000)}
        )
        frame.to_csv(folder / "table.csv", index=False)
        uri = f"sqlite:///{folder}/mlflow.db"
        train = {"steps": 5, "epochs": None, "batch_size": 64, "folder": str(folder / "runs")}
        track = {"uri": uri, "report": False}
        run = pretrain("tabular/masked_values", data={"path": str(folder / "table.csv")}, train=train, track=track, evaluate=[])
        place = register(run.folder, name="rows", alias="champion")
        body = json.dumps({"dataframe_records": frame.head(8).to_dict("records")}).encode()
        wrong = json.dumps({"dataframe_records": [{"x0": "north"}]}).encode()
        with serving(place, uri, folder / "serve") as served:
            address = f"{served.url}/invocations"
            post(address, body)
            before, began = served.resident(), time.perf_counter()
            with ThreadPoolExecutor(AT_ONCE) as threads:
                answers = list(
                    threads.map(lambda number: post(address, wrong if number % 10 == 9 else body, timeout=300), range(requests))
                )
            seconds, after = time.perf_counter() - began, served.resident()
    print(
        json.dumps(
            {
                "requests": requests,
                "at_once": AT_ONCE,
                "statuses": {str(status): count for status, count in sorted(Counter(status for status, _ in answers).items())},
                "distinct_answers": len({text for status, text in answers if status == 200}),
                "requests_per_second": round(requests / seconds, 1),
                "memory_before_MB": round(before),
                "memory_after_MB": round(after),
            }
        )
    )


if __name__ == "__main__":
    main()
