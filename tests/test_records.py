"""The file of every section: exact, whole or not there, and clear about what is wrong with it."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import gone, row, rows

from hastelib import records
from hastelib.records import COLUMNS


def test_round_trip_keeps_everything_and_the_order(tmp_path: Path):
    table = rows()
    written = gone(table, table.index % 5 == 0, 'a "quoted",\nbroken reason – é')
    path = records.write(written, tmp_path / "new folder" / "rows")
    assert path.name == "rows.csv"
    pd.testing.assert_frame_equal(records.read(path), written)


def test_a_long_table_is_parquet_and_the_old_csv_goes(tmp_path: Path, monkeypatch):
    records.write(rows(targets=["greek"]), tmp_path / "rows")
    monkeypatch.setattr(records, "CSV_BYTES", 1000)
    path = records.write(rows(), tmp_path / "rows")
    assert [file.name for file in tmp_path.iterdir()] == [path.name] == ["rows.parquet"]
    pd.testing.assert_frame_equal(records.read(path), rows())


@given(score=st.floats(allow_nan=False, allow_infinity=False), accuracy=st.floats(0, 1))
def test_floats_come_back_as_they_were(tmp_path_factory, score: float, accuracy: float):
    one = records.check(pd.DataFrame([row(score=score, accuracy=accuracy)]))
    read = records.read(records.write(one, tmp_path_factory.mktemp("floats") / "rows"))
    assert (read.loc[0, "score"], read.loc[0, "accuracy"]) == (score, accuracy)


def test_a_sections_own_columns_come_last_and_tell_rows_apart():
    table = pd.DataFrame([row(axis="size"), row(axis="bucket")])
    assert list(records.check(table[["axis", *COLUMNS]]).columns) == [*COLUMNS, "axis"]


def test_a_file_cut_short_is_refused(tmp_path: Path):
    path = records.write(rows(), tmp_path / "rows")
    text = path.read_text()
    path.write_text(text[: text.rindex("greek")])
    with pytest.raises(ValueError, match=r"rows\.csv: "):
        records.read(path)


def test_a_folder_that_cannot_be_written_says_what_to_do(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(PermissionError, match="another folder with the notebook's parameter"):
        records.write(rows(), tmp_path / "file" / "rows")
