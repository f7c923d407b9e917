"""The same question put to cyclonus (github.com/mattfenwick/cyclonus), which models NetworkPolicies to test plugins.

What was found by reading and trying it: `analyze --mode query-traffic` works on files alone and answers any number of
connections, in tables for people. Of what our policies use it gets one thing wrong: to it `NotIn` doesn't select a pod
that lacks the label. Its simplification of policies doesn't know port ranges, so it is switched off.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.traffic import NAMESPACE_LABEL, Connection
from cluster import gobuild

VERDICTS = {"TRUE": True, "FALSE": False}


def program() -> Path:
    """Return cyclonus, built from its Go module unless the cache has it."""
    return gobuild.build(gobuild.programs()["cyclonus"]) / "cyclonus"


def _words(connection: Connection) -> dict[str, Any]:
    """Return a connection in cyclonus' words."""
    return {
        "Source": _peer(connection.source),
        "Destination": _peer(connection.target),
        "Protocol": connection.protocol,
        "ResolvedPort": connection.port,
        "ResolvedPortName": connection.port_name,
    }


def _peer(subject: Mapping[str, Any]) -> dict[str, Any]:
    if "address" in subject:
        return {"IP": subject["address"]}
    place = subject["namespace"]
    return {
        # Of no network that a policy names.
        "IP": "192.0.2.1",
        "Internal": {
            "Namespace": place,
            "NamespaceLabels": {NAMESPACE_LABEL: place},
            "PodLabels": dict(subject["labels"]),
        },
    }


def verdicts(policies: Sequence[Mapping[str, Any]], connections: Sequence[Connection]) -> list[bool]:
    """Return whether each connection is allowed.

    Raises:
        ValueError: cyclonus failed, or didn't answer for every connection.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        (files / "policies.json").write_text(
            json.dumps({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "items": list(policies)})
        )
        (files / "traffic.json").write_text(json.dumps([_words(one) for one in connections]))
        command = [str(program()), "analyze", "--mode=query-traffic", "--simplify-policies=false"]
        command += [f"--policy-path={files}/policies.json", f"--traffic-path={files}/traffic.json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            assert run.stderr is not None
            found = list(_read(run.stdout))
            said = run.stderr.read()
    if run.returncode != 0 or len(found) != len(connections):
        raise ValueError(f"cyclonus answered {len(found)} of {len(connections)}, exit {run.returncode}: {said[-500:]}")
    return found


def _read(lines: Iterable[str]) -> Iterator[bool]:
    """Yield the verdict at the foot of each table."""
    for line in lines:
        cells = [cell.strip() for cell in line.split("|")]
        if "IS ALLOWED?" in cells:
            yield VERDICTS[cells[cells.index("IS ALLOWED?") + 1]]
