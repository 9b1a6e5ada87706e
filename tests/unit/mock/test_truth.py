import pytest

from aiperf.mock.truth import Truth, TruthLog, process_path, read_rows, read_truth


def row(request_id, received_ns):
    return Truth(
        request_id, received_ns, True, received_ns, 200, "", "complete", 3, 2, [received_ns + 5], [received_ns + 6],
        [received_ns + 7], 0,
    )  # fmt: skip


def write(path, *rows):
    log = TruthLog(path)
    for each in rows:
        log.append(each)
    log.close()


def test_rows_come_back_as_they_were(tmp_path):
    write(tmp_path / "log", row("a", 10), row("b", 20))
    assert read_truth(tmp_path / "log") == {"a": row("a", 10), "b": row("b", 20)}


def test_the_logs_of_all_processes_are_read_together_in_order_of_arrival(tmp_path):
    path = tmp_path / "log"
    write(process_path(path, 0), row("late", 30))
    write(process_path(path, 1), row("early", 10))
    assert [each.request_id for each in read_rows(path)] == ["early", "late"]


def test_of_two_requests_with_one_id_the_later_counts(tmp_path):
    write(tmp_path / "log", row("a", 20), row("a", 10))
    assert read_truth(tmp_path / "log")["a"].received_ns == 20
    assert len(read_rows(tmp_path / "log")) == 2


def test_a_log_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_rows(tmp_path / "log")
