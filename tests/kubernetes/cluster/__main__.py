"""`python -m tests.kubernetes.cluster COMMAND`: a real Kubernetes on this machine, without an engine or a registry."""

import argparse
import json
import os
import sys
from pathlib import Path

from tests.kubernetes.cluster import build, images, lifecycle
from tests.kubernetes.cluster.places import KUBECONFIG, PROJECT_IMAGE


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kubernetes.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="install packages, compile programs, make images; nothing that is there already")
    up = commands.add_parser("up", help="build, start, wait until the node is ready; prints the status")
    up.add_argument("--lifeline", type=int, help="an inherited descriptor: the cluster ends when its writers are gone")
    up.add_argument("--wait", type=float, default=0, help="seconds to wait while another cluster is up on the machine")
    commands.add_parser("down", help="end it and remove everything of it; harmless if there is nothing")
    commands.add_parser("status", help="what runs, as JSON")
    commands.add_parser("remains", help="what of a cluster is on the machine, a line each; fails if there is anything")
    commands.add_parser("kubeconfig", help="the path of the administrator's kubeconfig")
    load = commands.add_parser("load-image", help="put an image archive into the running cluster")
    load.add_argument(
        "archive", type=Path, nargs="?", help=f"default: build {PROJECT_IMAGE} from the sources as they are"
    )
    enter = commands.add_parser("enter", help="run a command inside the node")
    enter.add_argument("argv", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("this needs root: it makes namespaces, links and control groups")
    try:
        return run(arguments)
    except (build.BuildError, images.ImageError, lifecycle.ClusterError) as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1


def run(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "build":
            build.build()
            print(*images.build(), sep="\n")
        case "up":
            # What it tells meanwhile is not the answer, which is JSON on standard output.
            out, sys.stdout = sys.stdout, sys.stderr
            build.build()
            archives = images.build()
            print(json.dumps(lifecycle.up(archives, arguments.lifeline, arguments.wait), indent=2), file=out)
        case "down":
            lifecycle.down()
        case "status":
            print(json.dumps(lifecycle.status(), indent=2))
        case "remains":
            found = lifecycle.remains()
            for remnant in found:
                print(remnant)
            return 1 if found else 0
        case "kubeconfig":
            print(KUBECONFIG)
            return 0 if KUBECONFIG.exists() else 1
        case "load-image":
            images.load(lifecycle.enter, arguments.archive or images.build()[-1])
        case "enter":
            command = lifecycle.enter(*arguments.argv)
            os.execvp(command[0], command)
    return 0


if __name__ == "__main__":
    sys.exit(main())
