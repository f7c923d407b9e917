"""Questions about certificates, answered from their PEM text alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

# What the variables are called that a certificate for the whole platform comes from.
PLATFORM_NAMES: Mapping[str, str] = {"key": "platform_tls_private_key", "domain": "platform_domain"}


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


def renewal_reason(
    certificate: str, authorities: str, dns_names: Sequence[str], renew_before: timedelta, now: datetime
) -> str:
    """Return why a leaf (or, with `authorities` equal to it, a CA) has to be issued anew; empty if it doesn't.

    Args:
        certificate: PEM text, possibly empty.
        authorities: PEM text of the CAs one of which should have signed it.
        dns_names: the names that it should carry; none for a CA.
        renew_before: how long before its end it is renewed.
        now: the time, with zone.
    """
    if not certificate:
        return "there is none yet"
    try:
        leaf = x509.load_pem_x509_certificate(certificate.encode())
        signers = x509.load_pem_x509_certificates(authorities.encode())
    except ValueError:
        return "it can't be read"
    if not any(_signed(leaf, signer) for signer in signers):
        return "it was signed by another CA"
    if leaf.not_valid_after_utc - now < renew_before:
        return f"it ends on {leaf.not_valid_after_utc:%Y-%m-%d}"
    if dns_names and _names(leaf) != set(dns_names):
        return "its names have changed"
    return ""


def _signed(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


@dataclass(frozen=True)
class LeafPlan:
    """What a run does about a leaf: a new one, or only a new list of trusted CAs beside it; and why."""

    issue: bool
    trust: bool
    trusted: str  # PEM of the CAs that whoever meets the leaf has to know
    reason: str


def leaf_plan(
    leaf: Mapping[str, str], ca: Mapping[str, str], dns_names: Sequence[str], renew_before: timedelta, now: datetime
) -> LeafPlan:
    """Return what to do about a leaf, so that nobody ever meets one of a CA that they don't know yet.

    A new CA is first made known beside the one before it, whose leaves go on. Only a later run signs with it.

    Args:
        leaf: the Secret as it is: `tls.crt` and `ca.crt`; empty if there is none.
        ca: the Secret of the CA: `tls.crt`, and `previous.crt` if there was one before it.
        dns_names: the names that the leaf should carry.
        renew_before: how long before its end it is renewed.
        now: the time, with zone.
    """
    trusted = ca["tls.crt"] + ca.get("previous.crt", "")
    reason = renewal_reason(leaf.get("tls.crt", ""), trusted, dns_names, renew_before, now)
    known = ca["tls.crt"].strip() in leaf.get("ca.crt", "")
    usable = renewal_reason(leaf.get("tls.crt", ""), trusted, [], timedelta(), now) == ""
    if reason and usable and not known:
        wait = f"{reason}; the next run issues it, when everybody knows the new CA"
        return LeafPlan(issue=False, trust=True, trusted=trusted, reason=wait)
    if reason:
        return LeafPlan(issue=True, trust=True, trusted=trusted, reason=reason)
    changed = leaf.get("ca.crt", "") != trusted
    why = "the CAs that are trusted have changed" if changed else ""
    return LeafPlan(issue=False, trust=changed, trusted=trusted, reason=why)


def key_pair_error(certificate: str, private_key: str, domain: str, names: Mapping[str, str] = PLATFORM_NAMES) -> str:
    """Return why a certificate and a key can't serve a domain; empty if they can. `names`: of their variables."""
    try:
        leaf = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError:
        return "expected a PEM certificate"
    try:
        key = load_pem_private_key(private_key.encode(), password=None)
    except (ValueError, TypeError):
        return f"expected {names['key']} to be a PEM private key without a passphrase"
    if key.public_key() != leaf.public_key():
        return f"expected a certificate that belongs to {names['key']}"
    wildcard = "*." + domain.partition(".")[2]
    if not _names(leaf) & {domain, wildcard}:
        return f"expected a certificate for {names['domain']} ({domain})"
    return ""
