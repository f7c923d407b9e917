"""An S3 server in a cluster, with a bucket, users who may put, read or prune, and variables that name them."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import boto3
import pyrage
import urllib3
import yaml
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cluster import images, kind
from cluster.kind import Cluster, apply, components, inventory, kubectl, pour
from cluster.paths import HERE, tools
from cluster.shell import Failure, step

NAMESPACE, BUCKET, REGION, PORT = "s3", "exchange-backups", "kind", 7070
# The same objects over TLS: pgBackRest speaks nothing else. What it stores has a place and a user of its own.
TLS_PORT, ARCHIVE = 7071, "archive"
# docs/backups.md says why these and no more.
RIGHTS = {
    "put": {"*": ["PutObject"]},
    "read": {"": ["ListBucket"], "*": ["GetObject"], "reports/*": ["PutObject"]},
    "prune": {
        "": ["ListBucket", "ListBucketMultipartUploads", "GetBucketVersioning", "GetBucketObjectLockConfiguration"],
        "*": ["GetObject", "DeleteObject", "AbortMultipartUpload"],
        "reports/*": ["PutObject"],
    },
}
ARCHIVE_RIGHTS = {
    "": ["ListBucket"],
    f"{ARCHIVE}/*": ["GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload"],
}
EVERYBODYS_RIGHTS = {**RIGHTS, ARCHIVE: ARCHIVE_RIGHTS}


def start(cluster: Cluster) -> None:
    """Start the server unless it runs, and write `s3.yml` beside the inventory's `cluster.yml`."""
    reference = images.build_versitygw()
    nodes = [node for node in kind.node_names(cluster) if "worker" in node]
    with step("Start an S3 server in the cluster", 20):
        pour([reference], nodes)
        apply(cluster, [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
        root = root_credentials(cluster)
        ca = certificate(cluster)
        kubectl(cluster, "apply", "--server-side", "--force-conflicts", "-f", str(HERE / "manifests" / "s3.yaml"))
        kubectl(cluster, "-n", NAMESPACE, "rollout", "status", "deployment/s3", "--timeout=180s")
        file = inventory(cluster) / "s3.yml"
        values = {**variables(cluster), **(yaml.safe_load(file.read_text()) if file.exists() else {})}
        values["kind_archive_target"]["ca"] = ca
        users = {**values["postgres_backup_targets"][0]["credentials"], ARCHIVE: values["kind_archive_target"]}
        with forwarded(cluster) as endpoint:
            for user in users.values():
                make_user(endpoint, root, user)
            furnish(endpoint, root, {user["access_key"]: EVERYBODYS_RIGHTS[name] for name, user in users.items()})
    file.touch(mode=0o600)
    head = "---\n# Written by tests/cluster when it started the S3 server; throw-away secrets of this cluster.\n"
    file.write_text(head + yaml.safe_dump(values, sort_keys=False))


def variables(cluster: Cluster) -> dict[str, Any]:
    """Return what an inventory says about backups to the server, with new credentials and a new key."""
    key = pyrage.x25519.Identity.generate()
    peers = [{"namespace": NAMESPACE, "pod_labels": {"app.kubernetes.io/name": "s3"}}]
    return {
        "platform_components": [*components(cluster), "postgres_backup"],
        "postgres_backup_recipients": [str(key.to_public())],
        "postgres_backup_drill_private_key": str(key),
        "postgres_backup_drill_volume_size": "1Gi",
        "postgres_backup_tables": ["ledger_posting", "ledger_movement"],
        "postgres_backup_targets": [
            {
                "name": "kind",
                "bucket": BUCKET,
                "endpoint": f"http://{NAMESPACE}.{NAMESPACE}.svc:{PORT}",
                "region": REGION,
                "path_style": True,
                "credentials": {name: new_user(name) for name in RIGHTS},
            }
        ],
        "postgres_backup_to": peers,
        "postgres_backup_ports": [PORT],
        # -e postgres_archive_target='{{ kind_archive_target }}' switches point-in-time recovery on.
        "kind_archive_target": {
            "bucket": BUCKET,
            "prefix": ARCHIVE,
            "endpoint": f"https://{NAMESPACE}.{NAMESPACE}.svc:{TLS_PORT}",
            "region": REGION,
            "path_style": True,
            **new_user(ARCHIVE),
        },
        "postgres_archive_passphrase": secrets.token_urlsafe(32),
        "postgres_archive_to": peers,
        "postgres_archive_ports": [TLS_PORT],
    }


def new_user(name: str) -> dict[str, str]:
    """Return credentials of nobody yet."""
    return {"access_key": f"{name}-{secrets.token_hex(4)}", "secret_key": secrets.token_urlsafe(24)}


def certificate(cluster: Cluster) -> str:
    """Return the server's certificate, which is its own CA; it is made once."""
    found = kubectl(cluster, "-n", NAMESPACE, "get", "secret", "tls", "-o", "json", "--ignore-not-found")
    if found:
        return base64.b64decode(json.loads(found)["data"]["tls.crt"]).decode()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "s3")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"{NAMESPACE}.{NAMESPACE}.svc")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    content = {
        "tls.crt": made.public_bytes(Encoding.PEM).decode(),
        "tls.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    }
    metadata = {"name": "tls", "namespace": NAMESPACE}
    apply(cluster, [{"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content}])
    return content["tls.crt"]


def root_credentials(cluster: Cluster) -> tuple[str, str]:
    """Return the server's own credentials, which are made once and are in the cluster alone."""
    found = kubectl(cluster, "-n", NAMESPACE, "get", "secret", "root", "-o", "json", "--ignore-not-found")
    if found:
        content = json.loads(found)["data"]
        return tuple(base64.b64decode(content[f"ROOT_{name}_KEY"]).decode() for name in ("ACCESS", "SECRET"))  # type: ignore[return-value]
    access, secret = "root", secrets.token_urlsafe(24)
    content = {"ROOT_ACCESS_KEY": access, "ROOT_SECRET_KEY": secret}
    metadata = {"name": "root", "namespace": NAMESPACE}
    apply(cluster, [{"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content}])
    return access, secret


@contextmanager
def forwarded(cluster: Cluster) -> Iterator[str]:
    """Reach the server from this machine while the block runs."""
    command: list[str | Path] = [tools() / "kubectl", f"--kubeconfig={cluster.kubeconfig}", "-n", NAMESPACE]
    command += ["port-forward", "--address=127.0.0.1", "service/s3", f":{PORT}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as forward:
        assert forward.stdout is not None
        try:
            said = forward.stdout.readline()
            if "->" not in said:
                raise Failure(f"kubectl port-forward to the S3 server said: {said or 'nothing'}")
            yield "http://" + said.split(" ")[2]
        finally:
            forward.terminate()


def client_of(endpoint: str, access_key: str, secret_key: str) -> Any:
    """Return boto3's client of the server, for one of its users."""
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )


def make_user(endpoint: str, root: tuple[str, str], user: dict[str, str]) -> None:
    """Make a user who may do nothing yet, unless it is there. Through the API: no command line shows a secret."""
    who = f"<Access>{user['access_key']}</Access><Secret>{user['secret_key']}</Secret>"
    body = f"<Account>{who}<Role>user</Role></Account>"
    url = f"{endpoint}/create-user"
    request = AWSRequest("PATCH", url, data=body.encode())
    request.headers["X-Amz-Content-Sha256"] = hashlib.sha256(body.encode()).hexdigest()
    S3SigV4Auth(Credentials(*root), "s3", REGION).add_auth(request)
    answer = urllib3.request("PATCH", url, body=body.encode(), headers=dict(request.headers), timeout=10)
    if answer.status >= HTTPStatus.MULTIPLE_CHOICES and answer.status != HTTPStatus.CONFLICT:
        raise Failure(f"the S3 server does not make {user['access_key']}: {answer.status} {answer.data.decode()}")


def furnish(endpoint: str, root: tuple[str, str], users: dict[str, dict[str, list[str]]]) -> None:
    """Make the bucket, and say what users may do in it."""
    client = client_of(endpoint, *root)
    try:
        client.create_bucket(Bucket=BUCKET)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
            raise Failure(f"the S3 server does not make the bucket {BUCKET}: {error}") from error
    statements = [
        {
            "Effect": "Allow",
            "Principal": {"AWS": [user]},
            "Action": [f"s3:{action}" for action in actions],
            "Resource": f"arn:aws:s3:::{BUCKET}" + (f"/{pattern}" if pattern else ""),
        }
        for user, rights in users.items()
        for pattern, actions in rights.items()
    ]
    client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))
