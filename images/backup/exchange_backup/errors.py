"""Errors as the person on call reads them: what failed, on which object, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    SSLError,
)
from botocore.exceptions import ConnectionError as NoConnection

ADVICE: Final = {
    "NoSuchBucket": "the bucket doesn't exist: create it, or correct its name",
    "NoSuchKey": "the object isn't there: it was removed, or never finished",
    "404": "the object or its bucket isn't there",
    "InvalidAccessKeyId": "the server doesn't know this access key: correct the credentials",
    "SignatureDoesNotMatch": "the secret key is wrong: correct the credentials",
    "ExpiredToken": "the session token has expired: renew the credentials",
    "ExpiredTokenException": "the session token has expired: renew the credentials",
    "InvalidToken": "the session token is wrong: renew the credentials",
    "RequestTimeTooSkewed": "this machine's clock and the server's differ too much: correct them",
    "AccessDenied": "these credentials may not do that: allow it in the bucket's policy, or use others",
    "QuotaExceeded": "the bucket's quota is used up: raise it, or prune",
    "InsufficientCapacity": "the server has no space left: make room there, or prune",
    "NoSuchUpload": "the multipart upload was aborted by somebody else: is the bucket's lifecycle rule too short?",
    "InvalidRequest": "the server refuses the request: does the bucket have object lock, does it take these options?",
}


class BackupError(Exception):
    """Something a person has to know; the message says what to do."""


class Stopped(BackupError):  # noqa: N818  # what happened, as it is told
    """The job was told to stop."""


@contextmanager
def s3(what: str) -> Iterator[None]:
    """Turn what boto3 raises into a BackupError that begins with `what`, such as "upload s3://bucket/key"."""
    try:
        yield
    except ClientError as error:
        raise BackupError(f"{what}: {_said(error)}") from error
    except NoCredentialsError as error:
        raise BackupError(
            f"{what}: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the pod an identity"
        ) from error
    except SSLError as error:
        raise BackupError(f"{what}: {error}: is the server's CA the one that ca_file names?") from error
    except (NoConnection, HTTPClientError) as error:
        raise BackupError(
            f"{what}: {error}: is the server up, is the endpoint right, may this pod reach it?"
        ) from error
    except BotoCoreError as error:
        raise BackupError(f"{what}: {error}") from error


def code(error: ClientError) -> str:
    """Return S3's word for an error, such as NoSuchKey."""
    return str(error.response.get("Error", {}).get("Code", ""))


def _said(error: ClientError) -> str:
    """Return S3's code and message, and what helps."""
    found = code(error)
    message = str(error.response.get("Error", {}).get("Message", "")).strip().rstrip(".")
    said = f"{found} ({message})" if message and message != found else found
    return f"{said}: {ADVICE[found]}" if found in ADVICE else said
