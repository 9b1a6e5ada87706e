"""What a run needs from this machine or from a claim gets there, and results stay on a claim when that is asked for."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest

BASE = ("-m", "m", "--osl", "4", "--streaming", "--request-count", "5")
BUILTIN = ("--tokenizer", "builtin")
TOKENIZER = Path(__file__).resolve().parents[2] / "src/aiperf/dataset/builtin_tokenizer.json"


def write_prompts(path, count, words):
    lines = [json.dumps({"text": f"prompt {index}: " + "word " * words}) for index in range(count)]
    path.write_text("\n".join(lines) + "\n")
    return path


def prompts_of(run):
    """The texts that were sent, as the run's own file tells."""
    return "".join(json.dumps(line) for line in json.loads((run.folder / "inputs.json").read_bytes())["data"])


def test_files_of_this_machine_are_sent_there(aiperf, server, tmp_path):
    """An input file of some megabytes, and a tokenizer."""
    prompts = write_prompts(tmp_path / "prompts.jsonl", 5_000, 200)
    tokenizer = Path(shutil.copy(TOKENIZER, tmp_path / "mine.json"))
    run = aiperf.run(*BASE, "--tokenizer", str(tokenizer), "--input-file", str(prompts), "--url", server.url)
    assert run.exit_code == 0, run.words
    assert f"sending prompts.jsonl ({prompts.stat().st_size / 1e6:,.1f} MB)" in run.stderr
    assert "sending mine.json" in run.stderr
    assert "prompt 4999: word" in prompts_of(run)
    assert run.summary["input_sequence_length"]["avg"] > 200


def test_a_file_on_the_web_that_cannot_be_had_is_told(aiperf, server):
    run = aiperf.run(*BASE, *BUILTIN, "--input-file", "https://nobody.nowhere/prompts.jsonl", "--url", server.url)
    assert run.exit_code in (2, 3), run.words
    assert "https://nobody.nowhere/prompts.jsonl" in run.stderr.splitlines()[-1] + run.stderr
    assert run.in_cluster() == ""


@pytest.fixture
def claim(cluster, namespace):
    """A claim in the namespace, and the folder here in which its files are."""
    if cluster.status is None:
        pytest.skip("a claim's folder is on the node, and that of a cluster that the harness did not make is elsewhere")
    folder = Path(tempfile.mkdtemp(prefix="claim-"))
    folder.chmod(0o777)
    size = {"storage": "1Gi"}
    volume = {
        "storageClassName": "",
        "capacity": size,
        "accessModes": ["ReadWriteMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": str(folder), "type": "Directory"},
    }
    wish = {"storageClassName": "", "volumeName": namespace, "accessModes": ["ReadWriteMany"]}
    try:
        cluster.apply(
            {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": namespace}, "spec": volume},
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "files", "namespace": namespace},
                "spec": {**wish, "resources": {"requests": size}},
            },
        )
        yield folder
    finally:
        cluster.kubectl("delete", "persistentvolume", namespace, "--wait=false", check=False)
        shutil.rmtree(folder)


def test_a_claim_gives_the_input_file_and_keeps_the_results(aiperf, server, namespace, claim):
    write_prompts(claim / "prompts.jsonl", 5, 10)
    claims = ("--input-file", "pvc://files/prompts.jsonl", "--results-pvc", "files")
    run = aiperf.run(*BASE, *BUILTIN, *claims, "--url", server.url, "--namespace", namespace)
    assert run.exit_code == 0, run.words
    assert "prompt 4: word" in prompts_of(run)
    (kept,) = [path for path in claim.iterdir() if path.is_dir()]
    assert sorted(str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()) == run.files


def test_an_input_file_is_a_path_in_the_claim_that_is_named(aiperf, server, namespace, claim):
    (claim / "deep").mkdir()
    write_prompts(claim / "deep/prompts.jsonl", 5, 10)
    claims = ("--input-file", "deep/prompts.jsonl", "--dataset-pvc", "files")
    run = aiperf.run(*BASE, *BUILTIN, *claims, "--url", server.url, "--namespace", namespace)
    assert run.exit_code == 0, run.words
    assert "prompt 4: word" in prompts_of(run)
