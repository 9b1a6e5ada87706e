"""Environments of the tools that come from the package index: made on demand, one each, in `.cache/peers`.

Owns: where they are, whether they are complete, the tokenizer that all of them are given. Nothing is installed into the
environment that runs this. Removing `.cache/peers` removes all of it.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from aiperf.dataset import tokens

CACHE = Path(__file__).parents[2] / ".cache" / "peers"
HUB = CACHE / "hub"
TOKENIZER_NAME = "aiperf/builtin"
REVISION = "0" * 40
MARK = "requirements.txt"
"""In an environment that is complete: what it was made of."""
INSTALL_LIMIT_S = 3600


def environment(name: str) -> Path:
    return CACHE / name


def program(name: str, command: str) -> str:
    """The path of a command that a tool brought."""
    return str(environment(name) / "bin" / command)


def installed(name: str, requirements: tuple[str, ...]) -> None:
    """Sees to it that the environment is there, made of exactly these requirements. Raises: CalledProcessError."""
    if not requirements:
        return
    place = environment(name)
    mark = place / MARK
    wanted = "\n".join(requirements) + "\n"
    if mark.exists() and mark.read_text() == wanted:
        return
    started = time.monotonic()
    print(f"installing {name} ({', '.join(requirements)}) into {place}", file=sys.stderr, flush=True)
    if not (place / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *requirements], check=True, timeout=INSTALL_LIMIT_S)
    mark.write_text(wanted)
    print(f"installed {name} in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def local_tokenizer() -> Path:
    """A folder that `transformers` loads a tokenizer from: aiperf's built-in one, so that no hub is asked.

    It lies in the layout of a hub's cache, for tools that take names only.
    """
    folder = HUB / f"models--{TOKENIZER_NAME.replace('/', '--')}"
    snapshot = folder / "snapshots" / REVISION
    snapshot.mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(REVISION)
    shutil.copyfile(Path(tokens.__file__).with_name("builtin_tokenizer.json"), snapshot / "tokenizer.json")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 131072}
    (snapshot / "tokenizer_config.json").write_text(json.dumps(config))
    # What models come with; without it vLLM looks for it twice, with a pause.
    (snapshot / "config.json").write_text(json.dumps({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}))
    return snapshot


def surroundings(requirements: tuple[str, ...]) -> dict[str, str]:
    """The environment variables that a tool runs with: those of this process, and no hub to be asked."""
    local_tokenizer()
    offline = {"HF_HUB_CACHE": str(HUB), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    # The checkout's path would hand a tool our packages, among them one by the name of one of theirs.
    return {name: value for name, value in os.environ.items() if not (requirements and name == "PYTHONPATH")} | offline
