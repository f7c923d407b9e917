"""Questions about certificates, answered from their PEM text alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return set(extension.value.get_values_for_type(x509.DNSName))


def not_after(certificate: str) -> int:
    """Return when a certificate ends, in seconds since 1970; 0 without one (a first dry run makes none).

    Raises:
        ValueError: it isn't a PEM certificate.
    """
    if not certificate:
        return 0
    return int(x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc.timestamp())


def renewal_reason(certificate: str, ca: str, dns_names: Sequence[str], renew_before: timedelta, now: datetime) -> str:
    """Return why a leaf (or, with `ca` equal to it, a CA) has to be issued anew; empty if it doesn't.

    Args:
        certificate: PEM text, possibly empty.
        ca: PEM text of the CA that should have signed it.
        dns_names: the names that it should carry; none for a CA.
        renew_before: how long before its end it is renewed.
        now: the time, with zone.
    """
    if not certificate:
        return "there is none yet"
    try:
        leaf = x509.load_pem_x509_certificate(certificate.encode())
        authority = x509.load_pem_x509_certificate(ca.encode())
    except ValueError:
        return "it can't be read"
    try:
        leaf.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return "it was signed by another CA"
    if leaf.not_valid_after_utc - now < renew_before:
        return f"it ends on {leaf.not_valid_after_utc:%Y-%m-%d}"
    if dns_names and _names(leaf) != set(dns_names):
        return "its names have changed"
    return ""


def key_pair_error(certificate: str, private_key: str, domain: str) -> str:
    """Return why a certificate and a key can't serve a domain; empty if they can."""
    try:
        leaf = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        return "expected a PEM certificate"
    try:
        key = load_pem_private_key(private_key.encode(), password=None)
    except (ValueError, TypeError):
        return "expected platform_tls_private_key to be a PEM private key without a passphrase"
    if key.public_key() != leaf.public_key():
        return "expected a certificate that belongs to platform_tls_private_key"
    wildcard = "*." + domain.partition(".")[2]
    if not _names(leaf) & {domain, wildcard}:
        return f"expected a certificate for platform_domain ({domain})"
    return ""
