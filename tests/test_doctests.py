"""The example of every public function of metrics, hardness, bounds and stats is run."""

import doctest
from types import ModuleType

import pytest

from hastelib import bounds, hardness, metrics, stats
from hastelib.metrics import embeddings, evidence, moments, predictions

PARTS = [metrics, embeddings, evidence, moments, predictions, hardness, bounds, stats]


@pytest.mark.filterwarnings("ignore::hastelib.bounds.SeparableDataWarning")
@pytest.mark.parametrize("module", PARTS, ids=lambda module: module.__name__)
def test_examples(module: ModuleType) -> None:
    named = {test.name: test for test in doctest.DocTestFinder().find(module)}
    own = vars(module).items()
    functions = [name for name, it in own if getattr(it, "__module__", "") == module.__name__]
    public = {name for name in functions if name[0] != "_" and callable(vars(module)[name])}
    classes = {name for name in public if isinstance(vars(module)[name], type)}
    for name in (public - classes - {"saturated", "maximum"}) | (classes & {"Moments", "Sample"}):
        assert named[f"{module.__name__}.{name}"].examples, f"{name} has no example"
    assert doctest.testmod(module).failed == 0
