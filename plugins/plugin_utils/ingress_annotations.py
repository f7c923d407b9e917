"""Annotations of an Ingress, in each controller's words, from neutral settings. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.cryptoexchange.platform.plugins.plugin_utils import checks

CONTROLLERS = ("f5", "community", "existing")
# What both controllers take for proxy-next-upstream.
NEXT_UPSTREAM = frozenset(
    {
        "error", "timeout", "invalid_header", "non_idempotent", "off",
        "http_403", "http_404", "http_429", "http_500", "http_502", "http_503", "http_504",
    }
)  # fmt: skip
# Requests above the rate that are let through at once, as a multiple of the rate.
BURST_MULTIPLIER = 5

_F5 = "nginx.org/"
_COMMUNITY = "nginx.ingress.kubernetes.io/"


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "expected true or false"


def _whole(lowest: int, highest: int) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        good = isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest
        return "" if good else f"expected a whole number from {lowest} to {highest}"

    return check


def _size(value: Any) -> str:
    return checks.nginx_size(value) if isinstance(value, str) else "expected text such as 10m"


def _texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


def _services(value: Any) -> str:
    good = _texts(value) and not any(checks.dns_label(name) for name in value)
    return "" if good else "expected a list of names of Services"


def _conditions(value: Any) -> str:
    good = _texts(value) and value and NEXT_UPSTREAM.issuperset(value) and len(set(value)) == len(value)
    return "" if good else f"expected a list of {', '.join(sorted(NEXT_UPSTREAM))}, each once"


@dataclass(frozen=True)
class Setting:
    """A neutral setting: how its value is checked, and the annotations that it becomes.

    `community` None: that controller has no such annotation; the setting's value is refused there.
    """

    problem: Callable[[Any], str]
    f5: Callable[[Any], dict[str, str]]
    community: Callable[[Any], dict[str, str]] | None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _one(name: str, words: Callable[[Any], str] = _text) -> Callable[[Any], dict[str, str]]:
    return lambda value: {name: words(value)}


def _seconds(value: Any) -> str:
    return f"{value}s"


def _f5_rate_limit(rate: int) -> dict[str, str]:
    return {
        "limit-req-rate": f"{rate}r/s",
        "limit-req-key": "${binary_remote_addr}",
        "limit-req-zone-size": "10m",
        "limit-req-burst": str(rate * BURST_MULTIPLIER),
        "limit-req-no-delay": "true",
        "limit-req-reject-code": "429",
    } if rate else {}  # fmt: skip


def _community_rate_limit(rate: int) -> dict[str, str]:
    return {"limit-rps": str(rate), "limit-burst-multiplier": str(BURST_MULTIPLIER)} if rate else {}


def _f5_websocket_services(names: Any) -> dict[str, str]:
    return {"websocket-services": ",".join(names)} if names else {}


def _nothing(_: Any) -> dict[str, str]:
    return {}


# Names and value formats: nginx/kubernetes-ingress v5.5.4, internal/k8s/validation.go and
# internal/configs/annotations.go; kubernetes/ingress-nginx v1.15.1, docs/user-guide/nginx-configuration/annotations.md.
SETTINGS: dict[str, Setting] = {
    "body_size": Setting(_size, _one("client-max-body-size"), _one("proxy-body-size")),
    "connect_timeout_seconds": Setting(
        _whole(1, 75), _one("proxy-connect-timeout", _seconds), _one("proxy-connect-timeout")
    ),
    "read_timeout_seconds": Setting(_whole(1, 86400), _one("proxy-read-timeout", _seconds), _one("proxy-read-timeout")),
    "send_timeout_seconds": Setting(_whole(1, 86400), _one("proxy-send-timeout", _seconds), _one("proxy-send-timeout")),
    "ssl_redirect": Setting(_flag, _one("ssl-redirect"), _one("ssl-redirect")),
    "hsts": Setting(_flag, _one("hsts"), None),
    "hsts_max_age_seconds": Setting(_whole(0, 10**9), _one("hsts-max-age"), None),
    "hsts_include_subdomains": Setting(_flag, _one("hsts-include-subdomains"), None),
    # The community controller passes websockets without being told.
    "websocket_services": Setting(_services, _f5_websocket_services, _nothing),
    "next_upstream": Setting(_conditions, _one("proxy-next-upstream", " ".join), _one("proxy-next-upstream", " ".join)),
    "next_upstream_tries": Setting(_whole(0, 20), _one("proxy-next-upstream-tries"), _one("proxy-next-upstream-tries")),
    "next_upstream_timeout_seconds": Setting(
        _whole(0, 86400), _one("proxy-next-upstream-timeout", _seconds), _one("proxy-next-upstream-timeout")
    ),
    "use_cluster_ip": Setting(_flag, _one("use-cluster-ip"), _one("service-upstream")),
    "requests_per_second": Setting(_whole(0, 100000), _f5_rate_limit, _community_rate_limit),
}


def translate(settings: Mapping[str, Any], controller: str) -> dict[str, str]:
    """Return the annotations that make a controller serve an Ingress with these settings.

    One invalid annotation makes F5's controller reject the whole Ingress, so every value is checked here.

    Args:
        settings: keys of SETTINGS. Sizes in NGINX's notation, timeouts in seconds, `requests_per_second` for each
            client address (0: no limit), `websocket_services` and `next_upstream` as lists.
        controller: `f5`, `community`, or `existing` for one that isn't ours: no annotations, since its words are
            unknown.

    Raises:
        ValueError: an unknown setting or controller, or a value that a setting or the controller doesn't take.
    """
    if controller not in CONTROLLERS:
        raise ValueError(f"controller is {controller!r}: expected one of {', '.join(CONTROLLERS)}")
    result: dict[str, str] = {}
    for name, value in settings.items():
        setting = SETTINGS.get(name)
        if setting is None:
            raise ValueError(f"{name} is not a setting of an Ingress: expected one of {', '.join(SETTINGS)}")
        problem = setting.problem(value)
        if problem:
            raise ValueError(f"{name} is {value!r}: {problem}")
        if controller == "f5":
            result |= {f"{_F5}{key}": text for key, text in setting.f5(value).items()}
        elif controller == "community":
            if setting.community is None:
                raise ValueError(
                    f"{name} can't be set for one Ingress of the community controller: set ingress_nginx_{name} for all"
                )
            result |= {f"{_COMMUNITY}{key}": text for key, text in setting.community(value).items()}
    details = [name for name in settings if name.startswith("hsts_")]
    if details and "hsts" not in settings:
        raise ValueError(f"{details[0]} is set without hsts: expected hsts beside it")
    return result
