"""Command line: python -m cluster COMMAND (with tests/ in PYTHONPATH); `make help` lists what calls it."""

from __future__ import annotations

import argparse
import shutil
import sys

from cluster import docker, gobuild, images, kind, machine, registry, s3
from cluster.paths import PROJECT, cache, tools
from cluster.shell import Failure, fail, say

# What is started beside a cluster.
BESIDE = {"s3": s3.start, "registry": registry.start}


def main() -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="check the machine, install what is missing if allowed")
    commands.add_parser("images", help="list every image and where it comes from here")
    commands.add_parser("clean", help="remove the caches")
    commands.add_parser("tools", help="print the folder of kind, kubectl and helm, building them if needed")
    for name, text in (
        ("up", "make a cluster"),
        ("down", "remove it"),
        ("load", "build and load the project's images"),
        ("s3", "start an S3 server in it, and write the inventory's variables for backups"),
        ("registry", "start a registry on loopback that its nodes pull from"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("cluster", choices=sorted(kind.CLUSTERS))
        if name == "load":
            command.add_argument("image", nargs="*", choices=[*sorted(images.OWNED), []], default=None)
    arguments = parser.parse_args()
    try:
        execute(arguments)
    except Failure as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted; run the same command again to go on")
    return 0


def execute(arguments: argparse.Namespace) -> None:
    """Carry out one parsed command."""
    if arguments.command in BESIDE:
        docker.ensure()
        BESIDE[arguments.command](kind.CLUSTERS[arguments.cluster])
        return
    match arguments.command:
        case "doctor":
            machine.doctor()
        case "images":
            docker.ensure()
            images.print_list()
        case "tools":
            gobuild.install_tools()
            say(str(tools()))
        case "up":
            kind.up(kind.CLUSTERS[arguments.cluster])
        case "down":
            kind.down(kind.CLUSTERS[arguments.cluster])
        case "load":
            docker.ensure()
            kind.load(kind.CLUSTERS[arguments.cluster], arguments.image or None)
        case "clean":
            docker.stop_if_idle()
            if docker.our_pid():
                raise Failure("a cluster still runs in our docker daemon: make clean first")
            shutil.rmtree(cache(), ignore_errors=True)
            shutil.rmtree(PROJECT / "build", ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
