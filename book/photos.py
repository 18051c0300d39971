"""Keep a figure of an executed page as a small JPEG: for pages that were run on photographs.

papermill notebooks/A_3_gallery.ipynb runs/photos.ipynb -p suite pocket -p target pets37
python book/photos.py runs/photos.ipynb "Figure A.3b" book/_static/photos_pets37.jpg
"""

from __future__ import annotations

import base64
import io
import json
import re
import sys
from pathlib import Path

from PIL import Image

WIDTH = 1000  # pixels at most


def main(page: str, figure: str, picture: str) -> None:
    """Write the picture."""
    cells = json.loads(Path(page).read_text())["cells"]
    shown = [o.get("data", {}).get("text/html", "") for c in cells for o in c.get("outputs", ())]
    head = f"<figcaption><strong>{re.escape(figure)}\\."
    found = re.search(f'base64,([^"]+)"[^>]*>{head}', str(shown))
    if not found:
        raise ValueError(f"{page} has no {figure}: run it first, and name a figure that it has")
    image = Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGBA")
    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    image.thumbnail((WIDTH, WIDTH))
    image.save(picture, quality=72, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
