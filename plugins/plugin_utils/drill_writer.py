"""The objects that a drill's writers consist of. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAME = "platform-drill"
LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "drill"}
# An interrupted drill's writers end by themselves, and Kubernetes removes what belongs to them.
LONGEST_SECONDS = 900
KEPT_SECONDS = 60


@dataclass(frozen=True)
class Writer:
    """A writer. `address` is where it connects to; it runs on `node`, or on any but `not_node`."""

    name: str
    address: str
    node: str = ""
    not_node: str = ""
    checks: bool = False


def manifests(
    writers: Sequence[Writer], program: str, login: Mapping[str, str], member: Mapping[str, Any], database: str
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Return a Secret, a NetworkPolicy and a Job for each writer.

    Args:
        writers: which there shall be.
        program: text of roles/verify/files/writer.py.
        login: `username`, `password`, `database` and `ca.crt`.
        member: the spec of a database's pod, whose image has Python and psycopg.
        database: the database's namespace.
    """
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAME, "labels": LABELS},
        "stringData": {**login, "writer.py": program},
    }
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": NAME, "labels": LABELS},
        "spec": {
            "podSelector": {"matchLabels": LABELS},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [
                {
                    "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": database}}}],
                    "ports": [{"port": 5432, "protocol": "TCP"}],
                }
            ],
        },
    }
    return secret, policy, [job(writer, member, database) for writer in writers]


def job(writer: Writer, member: Mapping[str, Any], database: str) -> dict[str, Any]:
    """Return the Job of one writer."""
    values = {
        "WRITER_NAME": writer.name,
        "WRITER_CHECK": "yes" if writer.checks else "no",
        # The name is what the certificate must be for; the address is where to go, so that nothing looks a name up.
        "PGHOST": f"postgres-rw.{database}.svc",
        "PGHOSTADDR": writer.address,
        "PGPORT": "5432",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/drill/ca.crt",
        "PGTARGETSESSIONATTRS": "read-write",
        "PGAPPNAME": NAME,
    }
    secrets = {"PGUSER": "username", "PGPASSWORD": "password", "PGDATABASE": "database"}
    placed = [("In", writer.node)] if writer.node else [("NotIn", writer.not_node)] if writer.not_node else []
    terms = [{"key": "kubernetes.io/hostname", "operator": operator, "values": [node]} for operator, node in placed]
    required = {"nodeSelectorTerms": [{"matchExpressions": terms}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"{NAME}-{writer.name}", "labels": LABELS},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": LONGEST_SECONDS,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                # The database takes connections of whatever belongs to the application.
                "metadata": {"labels": {**LABELS, "app.kubernetes.io/part-of": "cryptoexchange"}},
                "spec": {
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": 5,
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "imagePullSecrets": member.get("imagePullSecrets") or [],
                    "affinity": {
                        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required} if terms else {}
                    },
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 999,
                        "runAsGroup": 999,
                        "fsGroup": 999,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [
                        {
                            "name": "writer",
                            "image": member["containers"][0]["image"],
                            "imagePullPolicy": "IfNotPresent",
                            "command": ["python3", "/drill/writer.py"],
                            "env": [
                                *({"name": name, "value": value} for name, value in values.items()),
                                *(
                                    {"name": name, "valueFrom": {"secretKeyRef": {"name": NAME, "key": key}}}
                                    for name, key in secrets.items()
                                ),
                            ],
                            "resources": {
                                "requests": {"cpu": "50m", "memory": "64Mi"},
                                "limits": {"memory": "192Mi"},
                            },
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "readOnlyRootFilesystem": True,
                                "capabilities": {"drop": ["ALL"]},
                            },
                            "volumeMounts": [{"name": "drill", "mountPath": "/drill", "readOnly": True}],
                        }
                    ],
                    "volumes": [{"name": "drill", "secret": {"secretName": NAME, "defaultMode": 0o440}}],
                },
            },
        },
    }
