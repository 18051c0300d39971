"""Does successive halving keep the first place of the full ranking, and what does it cost?

Ten ImageNet networks on two real sets, ten seeds each: ``python benchmarks/halving.py`` writes
``results/halving.csv``. It needs ``HASTE_DATA``, ``HASTE_WEIGHTS`` and the extra ``pocket``.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import hastelib
from hastelib import finetune, models, ranking
from hastelib.data.base import fingerprint, load
from hastelib.data.published import Parquet
from hastelib.features import default_device, extract

SETS = ("flowers12", "dtd10")
SEEDS = range(10)
METRICS = ("logme", "gbc", "nce")
RESULTS = Path(__file__).parents[1] / "results"


def main() -> None:
    ranking.HALVES = ranking.DRAWS = 1  # neither stability nor hard subsets are looked at
    lines = []
    for name in SETS:
        files = {split: f"{name}/{split}.parquet" for split in ("train", "test")}
        data = load(Parquet(kind="parquet", **files))["train"]
        found = {}
        for network in models.POCKET:
            source = models.load(f"{network}@pocket")
            found[network] = extract(source, source.read(data, name))[0]
        labels = next(iter(found.values())).labels
        for metric in METRICS:
            asked = {"labels": labels, "metrics": [metric], "hard": ()}
            whole = hastelib.rank(None, found, **asked)
            places = whole.table()["rank"]
            for seed in SEEDS:
                some = hastelib.rank(None, found, **asked, budget="halving", seed=seed)
                passes = some.table()["samples"].sum() / (len(labels) * len(found))
                told = {"first": whole.best(), "halving": some.best()}
                told |= {"place": int(places[some.best()]), "passes": passes}
                print(name, metric, seed, told, flush=True)
                lines.append(
                    {"data": name, "samples": len(labels), "metric": metric, "seed": seed} | told
                )
        frame = pd.DataFrame(lines).assign(
            fingerprint=fingerprint(data)[:12],
            device=finetune.describe(default_device()),
            versions=finetune.versions(),
        )
        frame.to_csv(RESULTS / "halving.csv", index=False)
    print(frame.groupby(["data", "metric"])["place"].value_counts(), frame["passes"].max())


if __name__ == "__main__":
    main()
