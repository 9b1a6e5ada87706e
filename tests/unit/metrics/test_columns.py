import numpy as np

from aiperf.metrics.columns import Columns


def test_appending_keeps_everything_in_order():
    columns = Columns.empty(2, np.int64)
    expected = []
    for start in range(0, 5_000, 7):
        more = np.arange(start, start + 7)
        columns.append(np.stack([more, -more]))
        expected += more.tolist()
    assert columns.table[0].tolist() == expected
    assert columns.table[1].tolist() == [-value for value in expected]


def test_a_table_taken_over_is_not_written_to():
    data = np.arange(4).reshape(1, 4)
    data.flags.writeable = False
    columns = Columns(data)
    columns.append(np.array([[9]]))
    assert columns.table.tolist() == [[0, 1, 2, 3, 9]]
    assert data.tolist() == [[0, 1, 2, 3]]


def test_a_read_only_table_can_be_cleared_and_filled_anew():
    data = np.arange(4).reshape(1, 4)
    data.flags.writeable = False
    columns = Columns(data)
    columns.append(np.zeros((1, 0), np.int64))
    columns.clear()
    columns.append(np.array([[7]]))
    assert columns.table.tolist() == [[7]]
    assert data.tolist() == [[0, 1, 2, 3]]
