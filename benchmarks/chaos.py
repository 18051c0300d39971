"""What an experiment survives: kills, damaged and swapped entries, a full disk, a dead worker.

``make chaos`` runs a small grid on drawn characters again and again under all of these, and
compares its table with that of a run that nothing disturbed. Minutes; the last line is ::

    lost, changed, left behind: 0, 0, 0

Lost are entries of the cache that were whole before a kill and not after it, and rows of the table
that are missing; changed are rows that differ in any digit; left behind are temporary files, locks
and checkpoints in the cache, and processes.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}

import pandas as pd
import psutil
from safetensors import SafetensorError, safe_open

from hastelib import suites
from hastelib.glyphs import Glyphs
from hastelib.grid import Grid
from hastelib.records import KEYS
from hastelib.store import DamagedEntryWarning, Store

KILLS, DAMAGES, FULL = 50, 60, 10
TARGETS, METRICS = ("greek", "cyrillic"), ("leep", "gbc", "logme", "h_score")
CHARACTERS = {"greek": "α-ε", "cyrillic": "БГДЖЗ"}
fork = multiprocessing.get_context("fork")  # else every child spends seconds on its imports


def table(folder: Path, scheduler: str = "local") -> pd.DataFrame:
    """The table of the small grid, kept under a folder."""
    targets = {
        name: Glyphs(kind="glyphs", characters=letters, train=10, test=6)
        for name, letters in CHARACTERS.items()
    }
    letters = Glyphs(kind="glyphs", characters="A-C", train=10, test=2)
    suite = suites.load("glyphs").model_copy(update={"targets": targets, "source_data": letters})
    names = ("resnet8@glyphs", "densenet16@glyphs", "resnet8@glyphs+greek")
    suite = suite.select(sources=names, seeds=(0, 1), epochs=3, draws=3)[0]
    return Grid(suite, Store(folder), scheduler).frame("5.1", TARGETS, METRICS)


def run(home: Path, scheduler: str = "local", setup: Callable[[], Any] = int) -> None:
    """In a process of its own: the table, or what came in its place, in a folder."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    setup()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            found = table(home / "cache", scheduler)
        except (ValueError, OSError) as error:
            (home / "error").write_text(str(error))
        else:
            found.to_csv(home / "making", index=False)
            (home / "making").rename(home / "table.csv")
    damaged = sum(issubclass(one.category, DamagedEntryWarning) for one in told)
    (home / "damaged").write_text(str(damaged))


def entries(folder: Path) -> list[Path]:
    """The entries of the cache; checkpoints go when they are used."""
    files = (folder / "cache").glob("*/*.safetensors")
    return [path for path in files if path.parent.name != "checkpoints" and path.name[0] != "."]


class Chaos:
    """The folder, the table as it should be, and what went wrong so far."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.random = folder, random.Random(0)
        self.counts: Counter[str] = Counter()
        started = time.perf_counter()
        found = self.ended(folder / "undisturbed")
        assert found is not None
        self.whole = found
        self.seconds = time.perf_counter() - started

    def say(self, what: str) -> None:
        told = {name: self.counts[name] for name in ("lost", "changed", "left behind")}
        print(f"{what}: {told}", flush=True)

    def started(self, home: Path, *rest: Any) -> Any:
        home.mkdir(exist_ok=True)
        for name in ("table.csv", "error", "damaged"):
            (home / name).unlink(missing_ok=True)
        process = fork.Process(target=run, args=(home, *rest))
        process.start()
        return process

    def ended(self, home: Path, *rest: Any) -> pd.DataFrame | None:
        """What a run gives that nobody kills."""
        self.started(home, *rest).join()
        return made(home)

    def compare(self, found: pd.DataFrame | None) -> None:
        """Count the rows that are missing or differ."""
        if found is None:
            self.counts["lost"] += len(self.whole)
            return
        both = self.whole.merge(found, on=KEYS, how="left", suffixes=("", "_now"), indicator=True)
        self.counts["lost"] += int((both["_merge"] != "both").sum())
        other = [name for name in self.whole if name not in KEYS]
        same = [
            (both[name] == both[f"{name}_now"]) | (both[name].isna() & both[f"{name}_now"].isna())
            for name in other
        ]
        there = both["_merge"] == "both"
        self.counts["changed"] += int((there & ~pd.concat(same, axis=1).all(axis=1)).sum())

    def sweep(self, home: Path) -> None:
        """Count what should not be there any more."""
        files = [path for path in (home / "cache").rglob("*") if path.is_file()]
        odd = [p for p in files if p.name[0] == "." or p.suffix == ".lock"
               or p.parent.name == "checkpoints"]  # fmt: skip
        time.sleep(0.5)
        alive = psutil.Process().children(recursive=True)
        for one in [*odd, *alive]:
            print("left behind:", one)
        self.counts["left behind"] += len(odd) + len(alive)

    def kill(self) -> None:
        """Kill the run at random moments, restart it, and forget some entries when it is done."""
        home, kills, done = self.folder / "killed", 0, 0
        while kills < KILLS:
            before = {path: path.stat().st_mtime_ns for path in entries(home)}
            process = self.started(home)
            process.join(self.random.uniform(0.05, self.seconds / 2))
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
                process.join()
                kills += 1
            else:
                done += 1
                self.compare(made(home))
                for path in self.random.sample(entries(home), len(entries(home)) // 2):
                    path.unlink()
                continue
            now = {path: path.stat().st_mtime_ns for path in entries(home)}
            self.counts["lost"] += sum(now.get(path) != time for path, time in before.items())
        self.compare(self.ended(home))
        self.sweep(home)
        self.say(f"{kills} kills, {done} runs that ended before")

    def damage(self) -> None:
        """Cut, flip and swap entries; every other time nothing that was made of them is there."""
        home = self.folder / "killed"
        noticed = 0
        for some in range(0, DAMAGES, 10):
            for number in range(10):
                path, other = self.random.sample(entries(home), 2)
                data = bytearray(path.read_bytes())
                if number % 3 == 0:
                    path.write_bytes(data[: self.random.randrange(len(data))])
                elif number % 3 == 1:
                    data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
                    path.write_bytes(data)
                else:
                    whole = other.read_bytes()
                    other.write_bytes(data)
                    path.write_bytes(whole)
            if some % 20:
                shutil.rmtree(home / "cache" / "scores")
            self.compare(self.ended(home))
            noticed += int((home / "damaged").read_text())
        self.sweep(home)
        self.say(f"{DAMAGES} entries cut, flipped and swapped, {noticed} reported")

    def fill(self) -> None:
        """Fill the disk: writes end halfway, now and then, until it has room again."""
        write = Path.write_bytes

        def full() -> None:
            dice = random.Random(os.getpid())

            def some(path: Path, data: bytes) -> int:
                if dice.random() < 0.4:
                    write(path, data[: len(data) // 2])
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
                return write(path, data)

            Path.write_bytes = some  # type: ignore[assignment, method-assign]

        home, failed = self.folder / "full", 0
        for _ in range(FULL):
            found = self.ended(home, "local", full)
            if found is not None:
                lacking = found["score"].isna() | found["accuracy"].isna()
                failed += int((lacking & (found["variant"] != "static")).any())
            else:
                failed += 1
                assert "free some space" in (home / "error").read_text()
            unreadable = [path for path in entries(home) if not whole(path)]
            self.counts["changed"] += len(unreadable)
            for path in self.random.sample(entries(home), len(entries(home)) // 2):
                path.unlink()
        self.compare(self.ended(home))
        self.sweep(home)
        self.say(f"{FULL} runs on a full disk, {failed} of them with failed jobs")

    def workers(self) -> None:
        """Kill one of three workers while it works."""
        home = self.folder / "workers"
        process = self.started(home, "3")
        while len(entries(home)) < 6 and process.is_alive():
            time.sleep(0.05)
        there = psutil.Process(process.pid).children(recursive=True)
        busy = [one for one in there if "spawn_main" in " ".join(one.cmdline())]
        victim = self.random.choice(busy)
        victim.kill()
        process.join()
        self.compare(made(home))
        self.sweep(home)
        self.say(f"one of {len(busy)} workers killed")


def made(home: Path) -> pd.DataFrame | None:
    """The table that a run has left, or None and why."""
    if (home / "table.csv").exists():
        return pd.read_csv(home / "table.csv", keep_default_na=False, na_values=["nan", ""])
    print((home / "error").read_text() if (home / "error").exists() else "the run died")
    return None


def whole(path: Path) -> bool:
    """Whether an entry can be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return bool(file.metadata())
    except SafetensorError:
        return False


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="chaos.") as folder:
        chaos = Chaos(Path(folder))
        print(f"undisturbed: {len(chaos.whole)} rows in {chaos.seconds:.1f} s", flush=True)
        for part in (chaos.kill, chaos.damage, chaos.fill, chaos.workers):
            part()
        counts = [chaos.counts[name] for name in ("lost", "changed", "left behind")]
        print("lost, changed, left behind:", ", ".join(map(str, counts)))
        sys.exit(any(counts))


if __name__ == "__main__":
    main()
