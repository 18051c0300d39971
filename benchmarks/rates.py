"""The learning rate of each network of `pocket`, and the number of epochs, settled beforehand.

Of two targets' train splits a fifth is held out; no test split and no score is looked at. For each
network the rate with the highest accuracy there, mean over the two, is taken; then three networks
(one without batch normalisation, one of depthwise convolutions, one EfficientNet) are trained for
half and twice as many epochs. `python benchmarks/rates.py` writes `results/pocket/rates.csv`.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd

from hastelib import finetune, suites
from hastelib.grid import Grid

RATES = (3e-3, 1e-2, 3e-2)
EPOCHS = (5, 20)
THREE = ("squeezenet1_1@pocket", "mobilenetv1_050@pocket", "efficientnet_lite0@pocket")
TARGETS = ("flowers12", "dtd10")
RESULTS = Path(__file__).parents[1] / "results/pocket/rates.csv"


def main() -> None:
    suite = suites.load("pocket")
    # Without a test file a train file is split 80/20, by class.
    held = {name: suite.targets[name].model_copy(update={"test": None}) for name in TARGETS}
    suite = suite.model_copy(update={"targets": held, "rates": {}})
    rows: list[dict] = []

    def measure(sources: tuple[str, ...], rate: float, epochs: int) -> None:
        chosen, targets = suite.select(epochs=epochs, learning_rate=rate, sources=sources)
        grid = Grid(chosen)
        grid.run(grid.jobs(sources, targets, seeds=(0,)))
        for target, source in itertools.product(targets, sources):
            made = grid.outcome(source, target, 0)
            about = {"target": target, "source": source, "epochs": epochs, "learning_rate": rate}
            about |= {"held_out_accuracy": made.accuracy, "recipe": chosen.recipe.told}
            rows.append(about | {n: made.provenance[n] for n in ("seconds", "device", "versions")})
        pd.DataFrame(rows).to_csv(RESULTS, index=False)

    for rate in RATES:
        measure(suite.sources, rate, suite.recipe.epochs)
    by = pd.DataFrame(rows).groupby(["source", "learning_rate"])["held_out_accuracy"].mean()
    best = by.unstack().idxmax(axis=1)
    print(by.unstack(), best, finetune.versions(), sep="\n")
    for source, epochs in itertools.product(THREE, EPOCHS):
        measure((source,), float(best[source]), epochs)


if __name__ == "__main__":
    main()
