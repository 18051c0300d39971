"""Pre-training the embedded sources: ``python -m hastelib.pretrain glyphs``.

Their weights ship with the package as float16 safetensors, each with its provenance in the
file's metadata; this command makes them afresh.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from safetensors.torch import save_file

from hastelib import finetune, suites
from hastelib.data import Images, fingerprint, load
from hastelib.features import default_device
from hastelib.models import GLYPHS, GLYPHS_FOLDER, GLYPHS_INPUT, placed, wrap
from hastelib.store import Store, key, writing


def pretrain(name: str, suite: suites.Suite, folder: Path, seed: int = 0) -> float:
    """Train one embedded source from scratch on the suite's source data and write its weights.

    Args:
        name: ``architecture@glyphs``.
        suite: gives the source data and the recipe (``pretraining``).
        folder: where ``architecture.safetensors`` is written.
        seed: of the initial weights and of the order of the images.

    Returns:
        Top-1 accuracy on the source data's test split.
    """
    architecture = name.removesuffix("@glyphs")
    suites.one_of("glyphs network", architecture, GLYPHS)
    if suite.pretraining is None or suite.source_data is None:
        raise ValueError(
            f"suite {suite.name} has no pretraining recipe, or no source_data; add both"
        )
    recipe, store, device = suite.pretraining, Store(), default_device()
    data = load(suite.source_data, store)
    splits = {s: Images(data[s], GLYPHS_INPUT, f"{suite.name} source {s}") for s in data}
    settings = {
        "architecture": architecture,
        "data": fingerprint(data["train"]),
        "recipe": recipe.parts(),
        "seed": seed,
    }
    entry = key(**settings)
    with finetune.seeded(seed, recipe.threads):
        module = placed(GLYPHS[architecture](len(splits["train"].classes)), device)
        network = wrap(name, module, GLYPHS_INPUT)
        finetune.train(
            network,
            module,
            splits["train"],
            recipe,
            seed,
            device=device,
            store=store,
            entry=entry,
            name=name,
        )
        module.half().float()  # tested as it ships
        probs = finetune.predict(network, module, splits["test"], device)
    accuracy = network.accuracy(probs, splits["test"].labels, len(splits["test"].classes))
    state = {
        n: (t.half() if t.is_floating_point() else t).cpu().contiguous()
        for n, t in module.state_dict().items()
    }
    provenance = settings | {
        "accuracy": accuracy,
        "classes": splits["train"].classes,
        "command": f"python -m hastelib.pretrain {suite.name} --source {name} --seed {seed}",
        "device": finetune.describe(device),
        "versions": finetune.versions(),
    }
    with writing(folder / f"{architecture}.safetensors") as path:
        save_file(state, path, {"provenance": json.dumps(provenance, ensure_ascii=False)})
    store.drop("checkpoints", entry)
    return accuracy


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Pre-train the embedded sources of a suite.")
    parser.add_argument("suite", nargs="?", default="glyphs")
    parser.add_argument("--source", help="only this one, as in resnet8@glyphs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=GLYPHS_FOLDER, help="folder for the files")
    given = parser.parse_args()
    suite = suites.load(given.suite)
    for name in [given.source] if given.source else suite.sources:
        accuracy = pretrain(name, suite, given.output, given.seed)
        print(f"{name}: {100 * accuracy:.1f}% top-1 on the source data's test split")


if __name__ == "__main__":
    main()
