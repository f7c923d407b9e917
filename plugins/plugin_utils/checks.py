"""Checks of single values. Each returns what is wrong, as a sentence's end, or nothing."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.quantity import parse_quantity

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_REGISTRY = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*/?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NGINX_SIZE = re.compile(r"[0-9]{1,12}[kKmMgG]?")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def dns_label(value: str) -> str:
    """Check a Kubernetes name of one label (RFC 1123)."""
    return "" if _LABEL.fullmatch(value) else "expected lower-case letters, digits and '-', at most 63 characters"


def host_name(value: str) -> str:
    """Check a DNS name of several labels (RFC 1123)."""
    good = 0 < len(value) <= 253 and all(_LABEL.fullmatch(label) for label in value.split("."))  # noqa: PLR2004
    return "" if good else "expected a host name such as exchange.example.com"


def object_name(value: str) -> str:
    """Check the name of a Kubernetes object (RFC 1123: several labels)."""
    return "expected a name of lower-case letters, digits, '-' and '.'" if host_name(value) else ""


def host_or_address(value: str) -> str:
    """Check a DNS name or an IP address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return "" if not host_name(value) else "expected a host name or an IP address"
    return ""


def network(value: str) -> str:
    """Check an IP network in CIDR notation."""
    try:
        ipaddress.ip_network(value)
    except ValueError:
        return "expected a network such as 10.0.0.0/8"
    return ""


def https_url(value: str) -> str:
    """Check an https address."""
    parts = urlsplit(value)
    return "" if parts.scheme == "https" and parts.hostname else "expected an address such as https://10.0.0.1:6443"


def between(value: int, lowest: int, highest: int) -> str:
    """Check a whole number's range, both ends included."""
    return "" if lowest <= value <= highest else f"expected {lowest} to {highest}"


def port(value: int) -> str:
    """Check a TCP port."""
    return between(value, 1, 65535)


def quantity(value: str, at_least: str = "1m") -> str:
    """Check a Kubernetes quantity that is at least another one."""
    try:
        number = parse_quantity(value)
    except ValueError:
        return "expected a Kubernetes quantity such as 512Mi or 250m"
    return "" if number >= parse_quantity(at_least) else f"expected at least {at_least}"


def nginx_size(value: str) -> str:
    """Check a size in NGINX's notation: bytes, or with k, m or g."""
    return "" if _NGINX_SIZE.fullmatch(value) else "expected a size in NGINX's notation such as 10m, or 0 for no limit"


def image(repository: str, tag: str, digest: str) -> str:
    """Check the parts of an image reference."""
    if not repository or re.search(r"[\s@]", repository) or repository != repository.lower():
        return "repository: expected a lower-case path such as ghcr.io/example/postgres"
    if digest:
        return "" if _DIGEST.fullmatch(digest) else "digest: expected sha256: and 64 hexadecimal digits"
    if tag == "latest":
        return "tag: latest moves; name a version"
    return "" if _TAG.fullmatch(tag) else "tag: expected a tag such as 1.2.3, or give a digest"


def image_registry(value: str) -> str:
    """Check what stands before an image's repository: a registry's host and a path, without a scheme."""
    return "" if _REGISTRY.fullmatch(value) else "expected a registry and a path such as registry.example.com/mirror"


def environment_name(value: str) -> str:
    """Check the name of an environment variable."""
    return "" if _ENV_NAME.fullmatch(value) else "expected letters, digits and '_', not starting with a digit"


# Lowest and highest of each field, and the names that stand for numbers, as Kubernetes' cron parser takes them.
_CRON_FIELDS: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (0, 59, ()),
    (0, 23, ()),
    (1, 31, ()),
    (1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    (0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_CRON_MACROS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})


def _cron_item(item: str, lowest: int, highest: int, names: tuple[str, ...]) -> bool:
    """Say whether an item of a cron field's list is good: *, 5, 1-5, */10, 1-30/2, mon-fri."""
    numbers = {name: lowest + index for index, name in enumerate(names)}
    span, _, step = item.lower().partition("/")
    if (step and not (step.isdecimal() and int(step) > 0)) or item.endswith("/"):
        return False
    if span in {"*", "?"}:
        return True
    ends = [numbers.get(end, int(end) if end.isdecimal() else -1) for end in span.split("-")]
    return len(ends) in {1, 2} and all(lowest <= end <= highest for end in ends) and ends == sorted(ends)


def cron(value: str) -> str:
    """Check a CronJob schedule: five fields, or a macro such as @daily."""
    fields = value.split()
    good = value in _CRON_MACROS or (
        len(fields) == len(_CRON_FIELDS)
        and all(
            _cron_item(item, *limits)
            for text, limits in zip(fields, _CRON_FIELDS, strict=True)
            for item in text.split(",")
        )
    )
    return "" if good else "expected five cron fields such as '0 3 * * *'"
