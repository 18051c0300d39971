"""Does successive halving keep the first place of the full ranking, and what does it cost?

Ten ImageNet networks on four real sets, ten seeds each: ``python benchmarks/halving.py`` writes
``results/halving.csv``. It needs ``HASTE_DATA``, ``HASTE_WEIGHTS`` and the extra ``pocket``.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import hastelib
from hastelib import finetune, models, ranking, suites
from hastelib.data.base import fingerprint, load
from hastelib.features import default_device, extract
from hastelib.store import Store

# How large the images are, None for the networks' own size. How many models stay in a round was
# chosen on the first two sets; nobody had looked at the last two.
SETS = {"flowers12": None, "dtd10": None, "pacs_photo": 64, "pacs_art": 64}
SEEDS = range(10)
METRICS = ("logme", "gbc", "nce")
RESULTS = Path(__file__).parents[1] / "results"


def main() -> None:
    ranking.HALVES = ranking.DRAWS = 1  # neither stability nor hard subsets are looked at
    suite, frames = suites.load("pocket"), []
    for name, pixels in SETS.items():
        data, found, lines = load(suite.target(name), Store())["train"], {}, []
        for network in models.POCKET:
            source = models.load(f"{network}@pocket", pixels)
            found[network] = extract(source, source.read(data, name))
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
            pixels=pixels or "own",
            fingerprint=fingerprint(data)[:12],
            device=finetune.describe(default_device()),
            versions=finetune.versions(),
        )
        frames.append(frame)
        frame = pd.concat(frames)
        frame.to_csv(RESULTS / "halving.csv", index=False)
    print(frame.groupby(["data", "metric"])["place"].value_counts(), frame["passes"].max())


if __name__ == "__main__":
    main()
