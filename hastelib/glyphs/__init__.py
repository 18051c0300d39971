"""The embedded suite: drawn characters and scenes, real digits, generated texts, their networks.

All of it comes from a seed, so that the book runs without a download.
"""

from hastelib.glyphs.characters import Digits, Glyphs
from hastelib.glyphs.corpus import Corpus
from hastelib.glyphs.scenes import Scenes

__all__ = ["Corpus", "Digits", "Glyphs", "Scenes"]
