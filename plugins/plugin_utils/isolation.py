"""The drill `isolation`: which pods try to reach which others, and what to make of their answers. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.traffic import (
    Connection,
    Matrix,
    is_allowed,
)

# The drill's own namespace. Everything it makes carries the label, by which it is found again and removed.
NAMESPACE = "drill-isolation"
LABEL = "cryptoexchange.platform/drill"
PORT = 8080
NOT_ENFORCED = "this cluster does not enforce NetworkPolicies"
# Tries each NAME,HOST,PORT at once, and says NAME yes or NAME no. Five seconds are three attempts of TCP.
PROBE = """
for t in "$@"; do
  rest=${t#*,}
  ( if timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "${rest%,*}" "${rest##*,}" 2>/dev/null
    then echo "${t%%,*} yes"; else echo "${t%%,*} no"; fi ) &
done
wait
"""

Data = dict[str, Any]


def plan(pods: Sequence[Mapping[str, Any]], matrix: Matrix, namespace: str, present: Sequence[str]) -> Data:
    """Return who tries what.

    Args:
        pods: those of the namespace, as the API returns them.
        matrix: who may reach whom.
        namespace: the one that is looked at.
        present: namespaces that exist.

    Returns:
        ``namespace``; ``targets``: what listens, with ``pod``, ``labels``, ``address``, ``ports``; ``sources``: who
        tries, each with ``title``, ``namespace``, ``labels``, ``pod``, ``container`` and ``make`` (whether the drill
        has to make the pod); ``not_tried``: ends whose namespace isn't there.

    Raises:
        ValueError: nothing runs in the namespace.
    """
    running = [pod for pod in pods if _running(pod) and LABEL not in (pod["metadata"].get("labels") or {})]
    targets = [
        {
            "pod": pod["metadata"]["name"],
            "labels": dict(pod["metadata"].get("labels") or {}),
            "address": pod["status"]["podIP"],
            "ports": sorted(
                port["containerPort"]
                for container in pod["spec"]["containers"]
                for port in container.get("ports") or []
            ),
        }
        for pod in running
    ]
    if not any(target["ports"] for target in targets):
        raise ValueError(f"no running pod with a port in the namespace {namespace}")
    sources: list[Data] = []
    not_tried: list[str] = []
    for title, place, labels in _who(matrix, namespace):
        real = [pod for pod in running if place == namespace and labels.items() <= pod["metadata"]["labels"].items()]
        if real and labels:
            sources += [_source(f"{title} {pod['metadata']['name']}", place, pod, labels, make=False) for pod in real]
        elif place in {*present, NAMESPACE}:
            name = f"{NAMESPACE}-{len(sources)}"
            made = {"metadata": {"name": name}, "spec": {"containers": [{"name": "probe"}]}}
            sources.append(_source(title, place, made, labels, make=True))
        else:
            not_tried.append(f"{title}: there is no namespace {place}")
    return {"namespace": namespace, "targets": targets, "sources": sources, "not_tried": not_tried}


def _running(pod: Mapping[str, Any]) -> bool:
    status = pod["status"]
    return (
        status.get("phase") == "Running" and bool(status.get("podIP")) and not pod["metadata"].get("deletionTimestamp")
    )


def _source(title: str, place: str, pod: Mapping[str, Any], labels: Mapping[str, str], *, make: bool) -> Data:
    return {
        "title": title,
        "namespace": place,
        "labels": dict(pod["metadata"].get("labels") or labels),
        "pod": pod["metadata"]["name"],
        "container": pod["spec"]["containers"][0]["name"],
        "make": make,
    }


def _who(matrix: Matrix, namespace: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield title, namespace and labels of who may reach something in a namespace, and of who is nearly that."""
    inside = [name for name, peers in matrix.ends.items() if any(peer.get("namespace") == namespace for peer in peers)]
    coming = list(dict.fromkeys(flow["from"] for flow in matrix.flows if flow["to"] in inside))
    known = [(name, peer) for name in coming for peer in matrix.ends[name] if peer.get("namespace")]
    for name, peer in known:
        yield name, peer["namespace"], dict(peer.get("pod_labels") or {})
    for place in dict.fromkeys([namespace, *(peer["namespace"] for _, peer in known if peer.get("pod_labels"))]):
        yield f"no labels, in {place}", place, {}
    for name, peer in known:
        if peer.get("pod_labels"):
            yield f"{name}'s labels, in another namespace", NAMESPACE, dict(peer["pod_labels"])
    yield "no labels, in another namespace", NAMESPACE, {}


def manifests(plan_: Mapping[str, Any], image: str, pull_secret: str) -> list[Data]:
    """Return what the drill makes: a namespace with two pods that listen, one of them closed by a policy, and probes.

    A probe in a namespace of somebody else may go out wherever it wants, so that what refuses it is the database's
    namespace alone.
    """
    made: list[Data] = [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": NAMESPACE,
                "labels": {LABEL: "isolation", "pod-security.kubernetes.io/enforce": "restricted"},
            },
        },
        _policy(NAMESPACE, "closed", {"door": "closed"}, {"policyTypes": ["Ingress"]}),
    ]
    probes = [source for source in plan_["sources"] if source["make"]]
    for place in sorted({probe["namespace"] for probe in probes} - {plan_["namespace"], NAMESPACE}):
        way_out = {"policyTypes": ["Egress"], "egress": [{}]}
        made.append(_policy(place, NAMESPACE, {LABEL: "isolation"}, way_out))
    pods = [(NAMESPACE, f"door-{state}", {"door": state}) for state in ("open", "closed")]
    pods += [(probe["namespace"], probe["pod"], probe["labels"]) for probe in probes]
    return [*made, *(_pod(place, name, labels, image, pull_secret) for place, name, labels in pods)]


def _policy(place: str, name: str, labels: Mapping[str, str], rules: Mapping[str, Any]) -> Data:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": place, "name": name, "labels": {LABEL: "isolation"}},
        "spec": {"podSelector": {"matchLabels": dict(labels)}, **rules},
    }


def _pod(place: str, name: str, labels: Mapping[str, str], image: str, pull_secret: str) -> Data:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": place, "name": name, "labels": {**labels, LABEL: "isolation"}},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            # Should the drill be stopped before it can clean up.
            "activeDeadlineSeconds": 900,
            "terminationGracePeriodSeconds": 0,
            # Nobody ever says so: whatever its labels are, no Service leads to it.
            "readinessGates": [{"conditionType": f"{LABEL}-never"}],
            "imagePullSecrets": [{"name": pull_secret}] if pull_secret else [],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 999,
                "runAsGroup": 999,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "probe",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-m", "http.server", "--directory=/run", str(PORT)],
                    "ports": [{"containerPort": PORT, "protocol": "TCP"}],
                    "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "32Mi"},
                        "limits": {"memory": "64Mi"},
                    },
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }


def command(names_to_addresses: Mapping[str, str]) -> str:
    """Return the command that tries some addresses, each HOST:PORT, by their names."""
    tried = [
        f"{name},{address.rpartition(':')[0]},{address.rpartition(':')[2]}"
        for name, address in names_to_addresses.items()
    ]
    return shlex.join(["bash", "-c", PROBE, "probe", *tried])


def door_command(pods: Sequence[Mapping[str, Any]]) -> str:
    """Return the command that tries the drill's two doors, from its pods as the API returns them."""
    doors = {pod["metadata"]["labels"].get("door"): pod["status"]["podIP"] for pod in pods}
    return command({state: f"{doors[state]}:{PORT}" for state in ("open", "closed")})


def destinations(plan_: Mapping[str, Any], source: Mapping[str, Any]) -> list[str]:
    """Return what a source tries, as ADDRESS:PORT; not itself."""
    return [
        f"{target['address']}:{port}"
        for target in plan_["targets"]
        if (target["pod"], False) != (source["pod"], source["make"])
        for port in target["ports"]
    ]


def probe_command(plan_: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    """Return the command that a source runs."""
    return command({where: where for where in destinations(plan_, source)})


def answers(output: str) -> dict[str, bool]:
    """Return what a probe's lines say: ADDRESS:PORT and yes or no."""
    pairs = [line.rsplit(" ", 1) for line in output.splitlines() if line.endswith((" yes", " no"))]
    return {where: answer == "yes" for where, answer in pairs}


def report(plan_: Mapping[str, Any], matrix: Matrix, found: Mapping[str, str], doors: str, *, required: bool) -> Data:
    """Return what the drill has shown.

    Args:
        plan_: of plan().
        matrix: who may reach whom.
        found: output of each source, by its title.
        doors: output of the probe of the two doors: lines ``open yes`` and ``closed no`` if policies are enforced.
        required: whether it is a problem if they aren't.

    Returns:
        ``enforced`` (None: nothing can be said); ``rows``, each with ``source``, ``target``, ``port``, ``allowed``,
        ``reached``, ``of``; ``problems``, a sentence each; ``table``, lines for people.
    """
    opened = answers(doors)
    if opened.get("open") is not True or "closed" not in opened:
        return {
            "enforced": None,
            "rows": [],
            "problems": ["the drill's own pods can't reach each other, so nothing can be said"],
            "table": [],
        }
    enforced = not opened["closed"]
    rows = _rows(plan_, matrix, found)
    problems = [_problem(row) for row in rows if _wrong(row) and (enforced or row["allowed"])]
    if required and not enforced:
        problems.append(f"{NOT_ENFORCED} (postgres_isolation_required: false takes that for what it is)")
    return {"enforced": enforced, "rows": rows, "problems": problems, "table": _table(plan_, rows, enforced=enforced)}


def _rows(plan_: Mapping[str, Any], matrix: Matrix, found: Mapping[str, str]) -> list[Data]:
    """Return a row for each source, kind of target and port."""
    rows: dict[tuple[str, str, int], Data] = {}
    for source in plan_["sources"]:
        heard = answers(found.get(source["title"], ""))
        for target in plan_["targets"]:
            for port in target["ports"]:
                where = f"{target['address']}:{port}"
                if where not in destinations(plan_, source):
                    continue
                pod = {"namespace": plan_["namespace"], "labels": target["labels"]}
                kind = target["labels"].get("app.kubernetes.io/name", target["pod"])
                row = rows.setdefault(
                    (source["title"], kind, port),
                    {
                        "source": source["title"],
                        "target": kind,
                        "port": port,
                        "allowed": is_allowed(
                            matrix,
                            Connection({"namespace": source["namespace"], "labels": source["labels"]}, pod, port),
                        ),
                        "reached": 0,
                        "unheard": 0,
                        "of": 0,
                    },
                )
                row["of"] += 1
                row["reached"] += heard.get(where, False)
                row["unheard"] += where not in heard
    return list(rows.values())


def _wrong(row: Mapping[str, Any]) -> bool:
    return bool(row["unheard"]) or row["reached"] != (row["of"] if row["allowed"] else 0)


def _problem(row: Mapping[str, Any]) -> str:
    what = f"{row['source']} to {row['target']} port {row['port']}"
    if row["unheard"]:
        return f"{what}: the probe didn't answer for {row['unheard']} of {row['of']}"
    allowed = "allowed" if row["allowed"] else "not allowed"
    return f"{what} is {allowed}, and {row['reached']} of {row['of']} were reached"


def _table(plan_: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], *, enforced: bool) -> list[str]:
    """Return lines for people, the plain answer first."""
    first = (
        "This cluster enforces NetworkPolicies."
        if enforced
        else f"{NOT_ENFORCED.upper()}: they are applied, and stop nothing. Only a network plugin that enforces them "
        "(Calico, Cilium and others do) isolates the database."
    )
    lines = [("from", "to", "port", "allowed", "reached", "")]
    lines += [
        (
            row["source"],
            row["target"],
            str(row["port"]),
            "yes" if row["allowed"] else "no",
            f"{row['reached']} of {row['of']}",
            "" if not _wrong(row) else "WRONG" if enforced or row["allowed"] else "not enforced",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return [first, *shown, *(f"not tried: {what}" for what in plan_["not_tried"])]
