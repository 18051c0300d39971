"""Random problems, what is proved of them, and counterexamples with their closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hastelib import bounds, metrics, theory

PRINTED = next(c for c in theory.CLAIMS if c.name.startswith("Lemma 2 as printed, hard counts"))


def test_what_is_proved_never_fails_and_what_is_not_does() -> None:
    tried = theory.trials(300)
    assert (tried.loc[tried["proved"], "failed"] == 0).all()
    assert (tried.loc[~tried["proved"], "failed"] > 0).all()
    assert ((tried["worst"] > 0) == (tried["failed"] > 0)).all()
    assert theory.trials(20, seed=1).equals(theory.trials(20, seed=1))


def test_random_problems_are_well_formed() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        problem = theory.random_problem(random)
        np.testing.assert_allclose(problem.probs.sum(1), 1)
        assert len(set(problem.hard.tolist())) == len(problem.hard) == len(problem.subset.labels)
        assert (problem.subset.probs == problem.probs[problem.hard]).all()


@pytest.mark.parametrize("classes", [2, 3, 50])
def test_the_excess_of_the_printed_bound_is_the_closed_form(classes: int) -> None:
    problem = theory.hard_count_counterexample(classes)
    low, high, _ = PRINTED.sides(problem)
    assert low - high == pytest.approx(math.log((math.sqrt(classes) + 1) / 2), rel=1e-12)
    for largest in np.linspace(1 / classes + 0.01, 1, 20):
        other = theory.hard_count_counterexample(classes, float(largest))
        below, above, _ = PRINTED.sides(other)
        assert below - above <= low - high + 1e-12
    with pytest.raises(ValueError, match="classes: expected at least 2, got 1"):
        theory.hard_count_counterexample(1)


def test_leep_exceeds_the_best_linear_head_on_three_points() -> None:
    problem = theory.linear_head_counterexample()
    assert problem.leep == metrics.leep(problem.probs, problem.labels)
    assert problem.leep > problem.linear.log_likelihood + 0.6
    assert problem.leep <= problem.mixture.log_likelihood


def test_the_search_finds_a_counterexample() -> None:
    found, by = theory.search(PRINTED, count=500)
    assert by == pytest.approx(
        bounds.leep_lower_bound(found.probs, found.labels, joint="hard") - found.leep
    )
    assert 0.1 < by <= math.log((math.sqrt(2) + 1) / 2)
