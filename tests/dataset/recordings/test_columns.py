import numpy as np
import pyarrow as pa
import pytest

from robo_al.dataset.recordings.columns import vectors
from robo_al.errors import UserError

ROWS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.list_(pa.float64(), 2), pa.list_(pa.int64())]
)
def test_vectors_of_any_arrow_type(kind: pa.DataType):
    table = pa.table({"x": pa.chunked_array([pa.array(ROWS[:1], kind), pa.array(ROWS[1:], kind)])})
    found = vectors(table, "x", "here")
    assert found.dtype == np.float64
    assert found.tolist() == ROWS


def test_a_slice_is_read_as_a_slice():
    for kind in (pa.list_(pa.float64()), pa.list_(pa.float64(), 2)):
        table = pa.table({"x": pa.array(ROWS, kind)}).slice(1, 2)
        assert vectors(table, "x", "here").tolist() == ROWS[1:]


def test_numbers_are_vectors_of_one():
    table = pa.table({"x": [1, 2], "done": [False, True]})
    assert vectors(table, "x", "here").tolist() == [[1.0], [2.0]]
    assert vectors(table, "done", "here").tolist() == [[0.0], [1.0]]


def test_no_rows():
    assert vectors(pa.table({"x": pa.array([], pa.list_(pa.float64()))}), "x", "here").size == 0


def test_what_is_not_vectors_is_refused():
    table = pa.table({"ragged": [[1.0], [1.0, 2.0]], "gap": [[1.0], None], "words": ["a", "b"]})
    with pytest.raises(UserError, match=r"here: no column 'x'; there are ragged, gap, words"):
        vectors(table, "x", "here")
    for name in ("ragged", "gap"):
        with pytest.raises(UserError, match=f"here: vectors of '{name}' have unequal lengths"):
            vectors(table, name, "here")
    with pytest.raises(UserError, match="column 'words' holds string"):
        vectors(table, "words", "here")
