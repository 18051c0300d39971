"""The CSV of every section: exact, whole or not there, and clear about what is wrong with it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from synthetic import gone, row, rows

from hastelib.records import COLUMNS, SCHEMA, Row, frame, read_csv, write_csv


def test_round_trip_keeps_everything_and_the_order(tmp_path: Path):
    written = [*rows(targets=["greek"]), gone(row(reason=""), 'a "quoted",\nbroken reason – é')]
    write_csv(written, tmp_path / "new folder" / "rows.csv")
    read = read_csv(tmp_path / "new folder" / "rows.csv")
    assert [repr(one) for one in read] == [repr(one) for one in written]  # nan is not equal to nan


@given(score=st.floats(allow_nan=False, allow_infinity=False), accuracy=st.floats(0, 1))
def test_floats_come_back_as_they_were(tmp_path_factory, score: float, accuracy: float):
    path = tmp_path_factory.mktemp("floats") / "rows.csv"
    write_csv([row(score=score, accuracy=accuracy)], path)
    (read,) = read_csv(path)
    assert (read.score, read.accuracy) == (score, accuracy)


def test_what_is_not_there_is_nan_everywhere(tmp_path: Path):
    path = tmp_path / "rows.csv"
    write_csv([gone(row(accuracy=math.nan, accuracy_std=math.nan, seeds=0))], path)
    cells = dict(zip(*(line.split(",") for line in path.read_text().splitlines()), strict=False))
    assert {cells[name] for name in ("score", "score_std", "accuracy", "accuracy_std")} == {"nan"}


def test_a_table_without_rows(tmp_path: Path):
    write_csv([], tmp_path / "rows.csv")
    assert read_csv(tmp_path / "rows.csv") == []
    assert list(frame([]).columns) == list(COLUMNS)


def test_the_docstring_documents_the_columns_in_order():
    text = Row.__doc__ or ""
    places = [text.index(f"\n        {name}: ") for name in Row.model_fields]
    assert places == sorted(places)
    assert COLUMNS[0] == "schema"
    assert list(Row.model_fields)[1:] == list(COLUMNS)[1:]


def test_frame_has_the_columns_and_the_types():
    table = frame(rows(targets=["greek"], metrics=["leep"]))
    assert list(table.columns) == list(COLUMNS)
    assert table["score"].dtype == float
    assert table["samples"].dtype == int
    assert frame(table) is table


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": math.nan}, "reason"),
        ({"reason": "no reason to have one"}, "reason"),
        ({"score": math.inf}, "finite"),
        ({"accuracy": 71.2}, "accuracy"),
        ({"accuracy": math.nan}, "seeds"),
        ({"seeds": 0}, "seeds"),
        ({"fraction": 0.0}, "fraction"),
        ({"metric": "LEEP"}, "metric"),
        ({"data": "short"}, "data"),
        ({"schema": SCHEMA + 1}, "schema"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        row(**changes)


def test_a_row_does_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        row().score = 1.0


def test_another_schema_is_named_with_the_way_out(tmp_path: Path):
    path = tmp_path / "rows.csv"
    write_csv([row()], path)
    path.write_text(path.read_text().replace(f"\n{SCHEMA},", f"\n{SCHEMA + 1},"))
    with pytest.raises(ValueError, match=r"has schema 2, .* reads schema 1: run the notebook"):
        read_csv(path)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (",score,", ",", r"missing columns \['score'\]"),
        ("versions\n", "versions,extra\n", r"unknown columns \['extra'\]"),
        ("schema,", "schema,schema,", "23 of 22 columns"),
        (",480,", ",", r"line 2: expected 22 cells, got 21"),
        (",480,", ",many,", r"line 2: samples: .*got 'many'"),
        (",-1.25,", ",nan,", "line 2: .*reason"),
    ],
)
def test_a_damaged_table_says_where_and_what(tmp_path: Path, before, after, message):
    path = tmp_path / "rows.csv"
    write_csv([row()], path)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(ValueError, match=message):
        read_csv(path)


def test_an_empty_file_is_not_a_table(tmp_path: Path):
    (tmp_path / "rows.csv").touch()
    with pytest.raises(ValueError, match="missing columns"):
        read_csv(tmp_path / "rows.csv")


def test_writing_is_all_or_nothing(tmp_path: Path):
    path = tmp_path / "rows.csv"
    write_csv([row()], path)
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        write_csv([row(score=-2.0), "not a row"], path)  # type: ignore[list-item]
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(PermissionError, match="another folder with the notebook's parameter"):
        write_csv([row()], tmp_path / "file" / "rows.csv")
