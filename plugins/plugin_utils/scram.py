"""SCRAM-SHA-256 verifiers as PostgreSQL stores them: what the server keeps instead of a password."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re

# PostgreSQL's default (scram_iterations).
ITERATIONS = 4096
_SALT_BYTES = 16
_VERIFIER = re.compile(
    r"SCRAM-SHA-256\$(?P<iterations>\d+):(?P<salt>[A-Za-z0-9+/=]+)\$(?P<stored>[A-Za-z0-9+/=]+):(?P<server>[A-Za-z0-9+/=]+)"
)


def scram_verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """Return ``SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`` (RFC 5802, RFC 7677).

    Who has the verifier can't log in with it, so it may be sent where the password may not.

    Args:
        password: printable ASCII; for other text RFC 5802 asks for a normalisation that is not done here.
        salt: random if not given.
        iterations: rounds of PBKDF2.

    Raises:
        ValueError: the password is empty or not printable ASCII.
    """
    if not password or not password.isascii() or not password.isprintable():
        raise ValueError("a password must be printable ASCII and not empty")
    salt = os.urandom(_SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_text(salt)}${_text(stored_key)}:{_text(server_key)}"


def scram_matches(verifier: str | None, password: str) -> bool:
    """Say whether a stored verifier belongs to a password."""
    match = _VERIFIER.fullmatch(verifier or "")
    if match is None:
        return False
    expected = scram_verifier(password, base64.b64decode(match["salt"]), int(match["iterations"]))
    return hmac.compare_digest(expected, match[0])


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
