"""The embedded suite: drawn characters and scenes, real digits, generated texts, their networks.

All of it comes from a seed, so that the book runs without a download: characters drawn with the
fonts that matplotlib ships (:class:`Glyphs`), scikit-learn's scans (:class:`Digits`), scenes of
characters (:class:`Scenes`), texts that a grammar writes (:class:`Corpus`), and the small networks
that ship with their weights (:data:`hastelib.glyphs.networks.GLYPHS`).
"""

from hastelib.glyphs.characters import Digits, Glyphs
from hastelib.glyphs.corpus import Corpus
from hastelib.glyphs.scenes import Scenes

__all__ = ["Corpus", "Digits", "Glyphs", "Scenes"]
