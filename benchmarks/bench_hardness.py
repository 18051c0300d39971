"""Hardness: the signature against all pairs, shrunk class covariances against their inverses."""

from __future__ import annotations

from dataclasses import replace

import baselines
import memory
import pytest
import torch
from conftest import SAMPLES, THREADS, WIDTH, Row

from hastelib import hardness


def close(expected, got):
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)


def bench_class_agnostic(compare, features, double):
    def by_signature():
        signature = hardness.source_signature([features.source])
        return hardness.class_agnostic([features.embedding], signature)

    compare(
        "CA hardness, M = N",
        ("M x N matrix", lambda: baselines.similarity_matrix(double.source, double.embedding)),
        ("signature and hardness", by_signature),
        close,
        wanted=100,
    )


@pytest.mark.parametrize("covariance", ["spherical", "ledoit_wolf"])
def bench_class_specific(compare, features, double, covariance):
    matrix = getattr(baselines, covariance)
    compare(
        f"CS hardness, {covariance}",
        (
            "d x d inverse a class",
            lambda: baselines.class_inverses(double.embedding, double.labels, matrix),
        ),
        (
            "class_specific",
            lambda: hardness.class_specific(features.embedding, features.labels, covariance),
        ),
        close,
        wanted=50,
        once=True,
    )


@pytest.mark.skipif(not memory.STATUS.exists(), reason="peak memory is read where Linux keeps it")
def bench_class_agnostic_memory(record):
    few, many = SAMPLES, 4 * SAMPLES
    used = {
        (side, count): memory.peak(side, count, SAMPLES, WIDTH, THREADS)
        for side in ("matrix", "signature")
        for count in (few, many)
    }
    row = Row(
        "CA memory beyond the target's",
        "float64",
        f"matrix, M = {many}",
        used["matrix", many],
        f"signature, M = {many}",
        used["signature", many],
        unit="MiB",
        rounds="1 and 1",
    )
    record(row)
    for side, most in (("matrix", None), ("signature", 1.1)):
        record(
            replace(
                row,
                slow_side=f"{side}, M = {many}",
                slow=used[side, many],
                fast_side=f"{side}, M = {few}",
                fast=used[side, few],
                wanted=most,
                at_most=True,
            )
        )
