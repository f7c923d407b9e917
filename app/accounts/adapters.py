"""django-allauth's adapters, where ours differ."""

from __future__ import annotations

import base64

from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


def fernet(secret_key: str) -> Fernet:
    """Return a cipher with a key derived from a signing key (HKDF, RFC 5869), for second factors alone."""
    derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=b"accounts.second-factor")
    return Fernet(base64.urlsafe_b64encode(derived.derive(secret_key.encode())))


class MFAAdapter(DefaultMFAAdapter):
    """Keeps seeds of TOTP and recovery codes encrypted: a copy of the database alone is no second factor."""

    def encrypt(self, text: str) -> str:
        """Encrypt with SECRET_KEY."""
        return fernet(settings.SECRET_KEY).encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Decrypt with SECRET_KEY, or a former one."""
        keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
        return MultiFernet([fernet(key) for key in keys]).decrypt(encrypted_text.encode()).decode()
