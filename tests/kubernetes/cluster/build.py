"""The cluster's programs: Debian packages by apt, everything else built from pinned Go modules into the cache.

`missing()` -> what there is to build; `build()` does it, once per checkout and version. The modules are in `go/`.
"""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass

from tests.kubernetes.cluster.places import BINARIES, CONTAINERD_VERSION, HERE, VERSION

PACKAGES = {
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "mmdebstrap": "mmdebstrap",
    "buildah": "buildah",
    "iptables": "iptables",
    "ip": "iproute2",
    "nsenter": "util-linux",
}
"""Program or file -> the Debian package that has it."""

PARALLEL = os.environ.get("AIPERF_CLUSTER_BUILD_JOBS", "2")


@dataclass(frozen=True)
class Program:
    name: str
    module: str
    """A folder of `go/`."""
    package: str
    variables: tuple[str, ...] = ()
    """What the linker sets: without it Kubernetes says v0.0.0, and clients believe it."""


_KUBERNETES = (
    f"k8s.io/component-base/version.gitVersion={VERSION}",
    f"k8s.io/client-go/pkg/version.gitVersion={VERSION}",
)
_CONTAINERD = (f"github.com/containerd/containerd/v2/version.Version={CONTAINERD_VERSION}",)

PROGRAMS = (
    Program("etcd", "kubernetes", "go.etcd.io/etcd/server/v3", _KUBERNETES),
    *(
        Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", _KUBERNETES)
        for name in (
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubelet",
            "kube-proxy",
            "kubectl",
        )
    ),
    *(
        Program(name, "containerd", f"github.com/containerd/containerd/v2/cmd/{name}", _CONTAINERD)
        for name in ("containerd", "containerd-shim-runc-v2", "ctr")
    ),
    Program("coredns", "coredns", "."),
    Program("pause", "pause", "."),
)


class BuildError(Exception):
    """A program cannot be had; the message says which, and the tool's own last words."""


def missing() -> list[str]:
    """What `build` would have to make or install."""
    programs = [program.name for program in PROGRAMS if not (BINARIES / program.name).exists()]
    return [*programs, *_missing_packages()]


def build() -> None:
    """Every program is there. Prints a line with the time for each that was not.

    Raises: BuildError.
    """
    if packages := _missing_packages():
        print(f"installing {', '.join(packages)}", flush=True)
        environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        _run("apt-get", "update", "-qq", env=environ)
        _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages, env=environ)
    BINARIES.mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        if not (BINARIES / program.name).exists():
            _compile(program)


def _missing_packages() -> list[str]:
    return sorted({package for name, package in PACKAGES.items() if shutil.which(name) is None})


def _compile(program: Program) -> None:
    if shutil.which("go") is None:
        raise BuildError(f"{program.name} is built from source, and there is no `go` on the PATH (1.26 or newer)")
    began = time.monotonic()
    target = BINARIES / program.name
    partial = target.with_suffix(".partial")
    flags = " ".join(["-s -w", *(f"-X {variable}" for variable in program.variables)])
    environ = os.environ | {"CGO_ENABLED": "0", "GOMAXPROCS": PARALLEL, "GOWORK": "off"}
    command = ["go", "build", "-p", PARALLEL, "-trimpath", "-buildvcs=false", "-ldflags", flags]
    # A benchmark may run beside this, and nobody waits for a compiler at the same priority.
    _run(
        "nice", "-n", "19", *command, "-o", str(partial), program.package, env=environ, cwd=HERE / "go" / program.module
    )
    partial.replace(target)
    print(f"built {program.name}: {time.monotonic() - began:.0f} s, {target.stat().st_size / 1e6:.0f} MB", flush=True)


def _run(*command: str, **options: object) -> None:
    result = subprocess.run(  # type: ignore[call-overload]
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    if result.returncode:
        raise BuildError(f"`{' '.join(command)}` failed with {result.returncode}:\n{result.stdout[-2000:]}")
