"""Images without an engine or a registry: made by mmdebstrap and buildah, cached as archives, loaded by ctr.

The project's image is its ordinary Dockerfile; only the base image's name differs: a Debian root made here, as no
registry is needed to be in reach. An archive's name carries a digest of what went in, so a change makes a new one.
"""

import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.kubernetes.cluster.places import BASE_IMAGE, BINARIES, CACHE, IMAGES, PAUSE_IMAGE, PROJECT_IMAGE, ROOT, RUN

BASE_SUITE = "bookworm"
BASE_PACKAGES = "python3,python3-venv,ca-certificates"
BASE_WITHOUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")

STORAGE_DRIVER = os.environ.get("AIPERF_CLUSTER_STORAGE_DRIVER", "overlay")
"""`vfs` works where the kernel has no overlay file system, and takes ten times as long."""

STORE_LIMIT_BYTES = 4 * 2**30

CONTEXT = ("Dockerfile", "image-requirements.txt", "pyproject.toml", "README.md", "LICENSE", "src")
"""What the project's image is made from; .dockerignore names the same."""


class ImageError(Exception):
    """An image cannot be made; the message has the tool's own last words."""


def build() -> list[Path]:
    """The archives that a cluster needs, pause and project; what was built before from the same sources is not again.

    Raises: ImageError.
    """
    IMAGES.mkdir(parents=True, exist_ok=True)
    with (IMAGES / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one at a time: buildah's layers and the archives are shared
        archive = _archive(_digest(ROOT))
        if not archive.exists():
            _build_base()
            archive = _build_project()
        return [_pause_archive(), archive]


def _archive(digest: str) -> Path:
    """Where the project's image of this digest is. Its name is in it: an archive says what it is loaded as."""
    return IMAGES / f"{re.sub(r'[^a-z0-9]+', '-', PROJECT_IMAGE)}-{digest}.tar"


def _digest(folder: Path) -> str:
    digest = hashlib.sha256(f"{BASE_SUITE} {BASE_PACKAGES}".encode())
    for name in CONTEXT:
        path = folder / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def load(enter: Callable[..., list[str]], archive: Path) -> None:
    """Puts an image archive (OCI or docker) where the kubelet finds it; the one that is there already, not again.

    Raises: ImageError.
    """
    mark = RUN / f"loaded-{archive.stem}"
    is_ours = archive.parent == IMAGES
    if is_ours and mark.exists():
        return
    # Whatever has the same name is replaced; what a foreign archive has in it is not known.
    for older in RUN.glob(f"loaded-{archive.stem.rpartition('-')[0]}-*" if is_ours else "loaded-*"):
        older.unlink(missing_ok=True)
    ctr = (str(BINARIES / "ctr"), "--namespace", "k8s.io", "images", "import")
    _run(*enter(*ctr, str(archive.resolve())))
    if is_ours:
        mark.touch()


def _pause_archive() -> Path:
    """An image of one static program, written as `docker save` would: a layer, its configuration, a manifest."""
    archive = IMAGES / "pause.tar"
    if archive.exists():
        return archive
    IMAGES.mkdir(parents=True, exist_ok=True)
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as layer_tar:
        _add(layer_tar, "pause", (BINARIES / "pause").read_bytes(), mode=0o755)
    configuration = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]
    partial = archive.with_suffix(".partial")
    with tarfile.open(partial, "w") as image:
        _add(image, "layer.tar", layer.getvalue())
        _add(image, "config.json", json.dumps(configuration).encode())
        _add(image, "manifest.json", json.dumps(manifest).encode())
    partial.replace(archive)
    return archive


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = mode
    archive.addfile(member, io.BytesIO(content))


def _build_base() -> None:
    if _buildah("images", "--quiet", BASE_IMAGE, check=False):
        return
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        _run(
            *("nice", "-n", "19", "mmdebstrap", "--quiet", "--variant=minbase", f"--include={BASE_PACKAGES}"),
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in BASE_WITHOUT),
            *(BASE_SUITE, f"{folder}/root.tar"),
        )
        Path(folder, "Dockerfile").write_text("FROM scratch\nADD root.tar /\n")
        _buildah("bud", "--quiet", "--timestamp=0", f"--tag={BASE_IMAGE}", folder)
    print(f"built {BASE_IMAGE}: {time.monotonic() - began:.0f} s", flush=True)


def _build_project() -> Path:
    """By the project's Dockerfile. pip inside asks what pip outside would ask, which leaves no trace in the image."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        configuration = Path(folder, "pip.conf")
        configuration.write_text(_pip_configuration())
        # A copy, as someone may be editing: the digest is of what goes in.
        context = Path(folder, "context")
        context.mkdir()
        for name in CONTEXT:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, context / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(ROOT / name, context / name)
        _buildah(
            *("bud", "--quiet", "--layers", "--timestamp=0", f"--tag={PROJECT_IMAGE}"),
            *(f"--build-arg=BASE_IMAGE={BASE_IMAGE}", f"--secret=id=pip,src={configuration}"),
            *_pip_volumes(),
            str(context),
        )
        archive = _archive(_digest(context))
    for old in IMAGES.glob(_archive("*").name):
        old.unlink()
    partial = archive.with_suffix(".partial")
    _buildah("push", "--quiet", "--disable-compression", PROJECT_IMAGE, f"docker-archive:{partial}:{PROJECT_IMAGE}")
    partial.replace(archive)
    _bound_store()
    seconds, megabytes = time.monotonic() - began, archive.stat().st_size / 1e6
    print(f"built {PROJECT_IMAGE}: {seconds:.0f} s, {megabytes:.0f} MB unpacked", flush=True)
    return archive


def _bound_store() -> None:
    """Every change of the sources leaves layers. Beyond the bound they go, those that a next build would reuse too."""
    if sum(file.lstat().st_size for file in (CACHE / "buildah").rglob("*") if file.is_file()) > STORE_LIMIT_BYTES:
        _buildah("rmi", "--prune", "--force")


def _pip_settings() -> dict[str, str]:
    """What pip is configured with on this machine, by file or environment."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        # `global.index-url`, `:env:.index-url`: the later in the list is the stronger one.
        settings[name.rpartition(".")[2]] = value.strip("'\"")
    return settings


def _pip_configuration() -> str:
    return "\n".join(["[global]", *(f"{name} = {value}" for name, value in _pip_settings().items())]) + "\n"


def _pip_volumes() -> list[str]:
    """Files and folders that pip's settings name, readable inside at the same path."""
    paths = {Path(part) for value in _pip_settings().values() for part in value.split() if part.startswith("/")}
    return [f"--volume={path}:{path}:ro" for path in sorted(paths) if path.exists()]


def _buildah(*arguments: str, check: bool = True) -> str:
    # Its own store: nothing of the machine's images is seen or changed. Short paths, as sockets lie there.
    store = (
        "--root",
        str(CACHE / "buildah"),
        "--runroot",
        str(CACHE / "buildah-run"),
        "--storage-driver",
        STORAGE_DRIVER,
    )
    options = ("--isolation", "chroot", "--format", "oci") if arguments[0] == "bud" else ()
    command = ("nice", "-n", "19", "buildah", *store, arguments[0], *options, *arguments[1:])
    return _run(*command, check=check)


def _run(*command: str, check: bool = True) -> str:
    environ = os.environ | {"TMPDIR": str(CACHE)}
    result = subprocess.run(command, check=False, capture_output=True, text=True, env=environ)
    if result.returncode and check:
        raise ImageError(
            f"`{' '.join(command)}` failed with {result.returncode}:\n{(result.stdout + result.stderr)[-3000:]}"
        )
    return result.stdout.strip() if result.returncode == 0 else ""
