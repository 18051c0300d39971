"""Names that go beyond those in a suite's file."""

from __future__ import annotations


def taught_on(source: str) -> tuple[str, str | None]:
    """A source's name taken apart: ``resnet14@glyphs+greek`` is of ``resnet14@glyphs``, ``greek``.

    Without a ``+`` the second part is None.
    """
    base, plus, target = source.rpartition("+")
    return (base, target) if plus else (source, None)


def of_classes(target: str) -> tuple[str, int | None]:
    """A target's name taken apart: ``greek#3`` is subset 3 of ``greek``; ``greek`` has None."""
    name, hash_, which = target.partition("#")
    if not hash_:
        return target, None
    if not which.isdecimal():
        raise ValueError(f"target {target!r}: expected the number of a class subset after #")
    return name, int(which)
