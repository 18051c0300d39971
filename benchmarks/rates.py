"""One learning rate for ten networks: accuracy on a fifth of the train split, held out.

Three networks (one without batch normalisation, one of depthwise convolutions, one EfficientNet)
on two targets of `pocket`, ten epochs of the one-cycle schedule, no test split and no score read.
`python benchmarks/rates.py` writes `results/pocket/rates.csv`.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd

from hastelib import finetune, suites
from hastelib.grid import Grid

RATES = (1e-3, 3e-3, 1e-2, 3e-2)
EPOCHS = (5, 10, 20)
NETWORKS = ("squeezenet1_1@pocket", "mobilenetv1_050@pocket", "efficientnet_lite0@pocket")
TARGETS = ("flowers12", "dtd10")


def main() -> None:
    suite = suites.load("pocket")
    # Without a test file a train file is split 80/20, by class.
    held = {name: suite.targets[name].model_copy(update={"test": None}) for name in TARGETS}
    suite = suite.model_copy(update={"targets": held})
    rows = []
    settings = [(10, rate) for rate in RATES] + [(epochs, 1e-2) for epochs in EPOCHS]
    for epochs, rate in dict.fromkeys(settings):
        chosen, targets = suite.select(epochs=epochs, learning_rate=rate, sources=NETWORKS)
        grid = Grid(chosen)
        grid.run(grid.jobs(chosen.sources, targets, seeds=(0,)))
        for target, source in itertools.product(targets, chosen.sources):
            made = grid.outcome(source, target, 0)
            about = {"target": target, "source": source, "epochs": epochs, "learning_rate": rate}
            about |= {"schedule": chosen.recipe.schedule, "held_out_accuracy": made.accuracy}
            rows.append(about | {"seconds": made.provenance["seconds"]})
    told = {"device": finetune.describe("cpu"), "versions": finetune.versions()}
    frame = pd.DataFrame(rows).assign(**told)
    frame.to_csv(Path(__file__).parents[1] / "results/pocket/rates.csv", index=False)
    print(frame.pivot_table("held_out_accuracy", ["epochs", "learning_rate"], ["target", "source"]))


if __name__ == "__main__":
    main()
