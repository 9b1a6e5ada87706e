"""What is told of a file that an attached run waits for."""

from aiperf.api.contract import Uploadable, UploadInfo
from aiperf.deploy.kubernetes.api_line import missing_text
from aiperf.deploy.kubernetes.reach import Entrance

ENTRANCE = Entrance("perf", "0123", "port-forward", token="t", certificate_pem="c")


def test_a_file_that_came_in_part_is_named_with_what_to_do():
    text = missing_text(
        Uploadable.INPUT, UploadInfo("prompts.jsonl", 100_000_000, 12_000_000, complete=False), ENTRANCE
    )
    assert "waits for prompts.jsonl: 12.0 of 100.0 MB have come" in text
    assert "aiperf kube cleanup 0123 --namespace perf --all" in text


def test_a_file_of_which_nothing_came_is_told_by_its_kind():
    text = missing_text(Uploadable.TOKENIZER, UploadInfo("", 0, 0, complete=False), ENTRANCE)
    assert "waits for its tokenizer: nothing has come" in text
