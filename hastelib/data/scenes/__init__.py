"""Scenes with a mask: drawn, in Parquet files, in the official folders; and as batches.

A split has the columns ``image``, ``mask`` (one channel, the index of each pixel's class, 255
where it has none) and ``label``, the classes in the mask.
"""

from hastelib.data.scenes.load import IGNORE, load_scenes
from hastelib.data.scenes.pictures import Pictures

__all__ = ["IGNORE", "Pictures", "load_scenes"]
