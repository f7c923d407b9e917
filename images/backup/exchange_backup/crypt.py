"""The age format, streamed: what is encrypted to public keys, the job that encrypts it can't read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol, cast

import pyrage

from exchange_backup.errors import BackupError

# Python is called for every read, so less often is faster.
READ_BYTES: Final = 1 << 20


class Reader(Protocol):
    """What can be read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to so many bytes; none at the end."""


class Writer(Protocol):
    """What can be written to."""

    def write(self, data: bytes, /) -> Any:
        """Take all of it."""


class Guard:
    """A reader or a writer that keeps its error: pyrage loses it for short streams, and changes its kind for others."""

    def __init__(self, reader: Reader | None = None, writer: Writer | None = None) -> None:
        """Wrap one of the two."""
        self.reader, self.writer = reader, writer
        self.error: BaseException | None = None

    def read(self, size: int = READ_BYTES) -> bytes:
        """Read."""
        assert self.reader is not None  # noqa: S101
        try:
            data = self.reader.read(size)
        except BaseException as error:
            self.error = error
            raise
        self.see(data)
        return data

    def write(self, data: bytes) -> int:
        """Write."""
        assert self.writer is not None  # noqa: S101
        self.see(data)
        try:
            self.writer.write(data)
        except BaseException as error:
            self.error = error
            raise
        return len(data)

    def flush(self) -> None:
        """Do nothing: whoever owns the writer finishes it."""

    def see(self, data: bytes) -> None:
        """Do nothing with what passes through."""


class Digest(Guard):
    """SHA-256 and length of what passes through as well."""

    def __init__(self, reader: Reader | None = None, writer: Writer | None = None) -> None:
        """Wrap one of the two."""
        super().__init__(reader, writer)
        self.bytes = 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Return the digest so far."""
        return self._hash.hexdigest()

    def see(self, data: bytes) -> None:
        """Count it."""
        self._hash.update(data)
        self.bytes += len(data)


def recipients(keys: Sequence[str]) -> list[Any]:
    """Return public keys (age1..., ssh-ed25519 ..., ssh-rsa ...) as pyrage takes them.

    Raises:
        BackupError: there is none, or one isn't a public key.
    """
    if not keys:
        raise BackupError("recipients: no public key is named; make a pair with `age-keygen` and name its public key")
    found: list[Any] = []
    for key in keys:
        kind: Any = pyrage.ssh if key.startswith("ssh-") else pyrage.x25519
        try:
            found.append(kind.Recipient.from_str(key))
        except pyrage.RecipientError as error:
            # A private key may have been put in its place by mistake, so it isn't shown.
            raise BackupError(f"recipients: {key[:8]}... is not a public key of age or SSH: {error}") from error
    return found


def identities(path: Path) -> list[Any]:
    """Return the private keys in a file, as `age-keygen` or `ssh-keygen` writes it.

    Raises:
        BackupError: it can't be read, or holds none.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BackupError(f"private key {path}: {error}") from error
    try:
        if "PRIVATE KEY-----" in text:
            return [pyrage.ssh.Identity.from_buffer(text.encode())]
        lines = [line.strip() for line in text.splitlines()]
        found = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except pyrage.IdentityError as error:
        raise BackupError(f"private key {path}: it holds no key that can be used: {error}") from error
    if not found:
        raise BackupError(f"private key {path}: it holds no key")
    return found


def encrypt(reader: Guard, writer: Guard, keys: Sequence[Any]) -> None:
    """Encrypt all that the reader has."""
    try:
        pyrage.encrypt_io(cast("Any", reader), cast("Any", writer), list(keys))
    except (pyrage.EncryptError, OSError) as error:
        raise reader.error or writer.error or BackupError(f"encrypt: {error}") from error
    failed = reader.error or writer.error
    if failed:
        raise failed


def decrypt(reader: Guard, writer: Guard, keys: Sequence[Any], what: str) -> None:
    """Decrypt all that the reader has; `what` names it.

    Raises:
        BackupError: no key fits, or what is stored isn't what was written. What was written until then is worthless.
    """
    try:
        pyrage.decrypt_io(cast("Any", reader), cast("Any", writer), list(keys))
    except pyrage.DecryptError as error:
        failed = reader.error or writer.error
        if failed:
            raise failed from error
        if "keys" in str(error):
            raise BackupError(
                f"{what}: the private key is not one that it was encrypted to: use the other key"
            ) from error
        raise BackupError(f"{what}: not a file of age, or damaged ({error}): use another backup") from error
    except OSError as error:
        failed = reader.error or writer.error
        raise failed or BackupError(
            f"{what}: damaged ({error}): what is stored is not what was written; use another backup"
        ) from error
    failed = reader.error or writer.error
    if failed:
        raise failed
