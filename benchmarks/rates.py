"""One learning rate for ten networks: accuracy on a fifth of the train split, held out.

Three networks (one without batch normalisation, one of depthwise convolutions, one EfficientNet)
on two targets of `pocket`, no test split and no score read.
`python benchmarks/rates.py` writes `results/pocket/rates.csv`.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd

from hastelib import finetune, suites
from hastelib.grid import Grid

SETTINGS = (  # epochs, learning rate, bound of the gradient's norm
    (10, 1e-2, 5.0),
    (10, 1e-2, None),
    (10, 3e-2, 5.0),
    (10, 3e-3, 5.0),
    (20, 1e-2, 5.0),
    (5, 1e-2, 5.0),
)
NETWORKS = ("squeezenet1_1@pocket", "mobilenetv1_050@pocket", "efficientnet_lite0@pocket")
TARGETS = ("flowers12", "dtd10")


def main() -> None:
    suite = suites.load("pocket")
    # Without a test file a train file is split 80/20, by class.
    held = {name: suite.targets[name].model_copy(update={"test": None}) for name in TARGETS}
    suite = suite.model_copy(update={"targets": held})
    rows = []
    for epochs, rate, clip in SETTINGS:
        chosen, targets = suite.select(epochs=epochs, learning_rate=rate, sources=NETWORKS)
        recipe = chosen.recipe.model_copy(update={"clip": clip})
        chosen = chosen.model_copy(update={"recipe": recipe})
        grid = Grid(chosen)
        grid.run(grid.jobs(chosen.sources, targets, seeds=(0,)))
        for target, source in itertools.product(targets, chosen.sources):
            made = grid.outcome(source, target, 0)
            about = {"target": target, "source": source, "recipe": recipe.told}
            about |= {"held_out_accuracy": made.accuracy, "seconds": made.provenance["seconds"]}
            rows.append(about | {"device": made.provenance["device"]})
        frame = pd.DataFrame(rows).assign(versions=finetune.versions())
        frame.to_csv(Path(__file__).parents[1] / "results/pocket/rates.csv", index=False)
        print(frame.tail(6), flush=True)


if __name__ == "__main__":
    main()
