"""Pre-training the embedded sources: ``python book/pretrain.py [NAME ...]``.

Their weights ship with the package as float16 safetensors, each with its provenance in the
file's metadata; this command makes them afresh, all of them or those named.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from hastelib import finetune, suites
from hastelib.data.base import fingerprint, load
from hastelib.data.images import Images
from hastelib.features import default_device
from hastelib.glyphs.networks import GLYPHS, GLYPHS_FOLDER, GLYPHS_INPUT
from hastelib.models import placed, wrap
from hastelib.store import Store, key, writing

RECIPE = suites.Recipe(
    epochs=12, learning_rate=0.1, schedule="onecycle", weight_decay=5e-4, threads=1
)
"""How they are trained."""


def pretrain(name: str, suite: suites.Suite, folder: Path) -> float:
    """Train ``architecture@glyphs`` from scratch on the suite's source data by :data:`RECIPE`.

    Writes ``architecture.safetensors`` into the folder.

    Returns:
        Top-1 accuracy on the source data's test split.
    """
    architecture = name.removesuffix("@glyphs")
    suites.one_of("glyphs network", architecture, GLYPHS)
    if suite.source_data is None:
        raise ValueError(f"suite {suite.name}: no source_data; add them")
    recipe, store, device = RECIPE, Store(), default_device()
    data = load(suite.source_data, store)
    train = Images(data["train"], GLYPHS_INPUT, f"{suite.name} source train")
    test = Images(data["test"], GLYPHS_INPUT, f"{suite.name} source test")
    settings: dict[str, Any] = {"architecture": architecture, "data": fingerprint(data["train"])}
    settings |= {"recipe": recipe.model_dump(), "seed": 0}
    entry = key(**settings)
    with finetune.seeded(0, recipe.threads):
        module = placed(GLYPHS[architecture](len(train.classes)), device)
        network = wrap(name, module, GLYPHS_INPUT)
        options: dict[str, Any] = {"store": store, "entry": entry, "name": name}
        finetune.train(network, module, train, recipe, 0, device=device, **options)
        module.half().float()  # tested as it ships
        probs = finetune.predict(network, module, test, device)
    accuracy = finetune.accuracy(probs, test.labels, len(test.classes))
    state = {n: t.cpu().contiguous() for n, t in module.half().state_dict().items()}
    command, versions = f"python book/pretrain.py {name}", finetune.versions()
    provenance = settings | {"accuracy": accuracy, "classes": train.classes, "command": command}
    provenance |= {"device": finetune.describe(device), "versions": versions}
    with writing(folder / f"{architecture}.safetensors") as path:
        save_file(state, path, {"provenance": json.dumps(provenance, ensure_ascii=False)})
    store.drop("checkpoints", entry)
    return accuracy


if __name__ == "__main__":
    glyphs = suites.load("glyphs")
    for each in sys.argv[1:] or glyphs.sources:
        reached = 100 * pretrain(each, glyphs, GLYPHS_FOLDER)
        print(f"{each}: {reached:.1f}% top-1 on the source data's test split")
