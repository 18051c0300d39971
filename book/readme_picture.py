"""Draw the README's picture: the hardest and the easiest photographs of some classes.

HASTE_DATA=... HASTE_WEIGHTS=... python book/readme_picture.py

The classes are chosen by hand, the photographs by hardness alone. Data: Caltech101 (CC BY 4.0).
"""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image

from hastelib import analysis, hardness

PICTURE = Path(__file__).with_name("_static") / "hard_photos.jpg"
TARGET, CLASSES, EACH = "caltech101_40", ("elephant", "sunflower", "starfish"), 5


def main() -> None:
    """Write the picture."""
    grid, _ = analysis.start({"suite": "pocket", "target": TARGET})
    features = grid.features("densenet121@pocket", TARGET)
    labels, scores = features.labels, hardness.class_specific(features.embedding, features.labels)
    photos = grid.data(TARGET)["train"]
    names = photos.features["label"].names
    figure = plt.figure(figsize=(9, 2.85), layout="constrained")
    sides = figure.subfigures(1, 2, wspace=0.03)
    for side, title, first in zip(sides, ("Hard", "Easy"), (True, False), strict=True):
        side.suptitle(title, fontsize=12)
        axes = side.subplots(len(CLASSES), EACH)
        for line, name in zip(axes, CLASSES, strict=True):
            of_class = (labels == names.index(name)).nonzero()[:, 0]
            order = of_class[scores[of_class].argsort(descending=first, stable=True)]
            for ax, i in zip(line, order[:EACH].tolist(), strict=True):
                photo = photos[i]["image"].convert("RGB")
                cut = min(photo.size)
                x, y = ((length - cut) // 2 for length in photo.size)
                ax.imshow(photo.crop((x, y, x + cut, y + cut)))
                ax.set_axis_off()
    file = io.BytesIO()
    figure.savefig(file, dpi=110, facecolor="white")
    Image.open(file).convert("RGB").save(PICTURE, quality=80, optimize=True)


if __name__ == "__main__":
    main()
