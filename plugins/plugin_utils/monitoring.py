"""What roles/monitoring computes: Alertmanager's configuration from who is to be told what, and small change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

# The severities that rules carry, the worst first.
SEVERITIES = ("critical", "warning", "info")
# What a receiver may be, and what each needs.
KINDS = {
    "webhook": ("url",),
    "slack": ("url", "channel"),
    "email": ("to", "from", "smarthost"),
    "pagerduty": ("routing_key",),
}
WATCHDOG = "Watchdog"
# Fires while tasks/drill.yml runs, and is told to its pod alone.
DRILL = "AlertDrill"
_NOBODY = "nobody"


def configuration(
    receivers: Sequence[Mapping[str, Any]], watchdog: Mapping[str, Any], repeat_hours: int, site: str, drill: str
) -> dict[str, Any]:
    """Return what Alertmanager reads.

    Alerts of the same name and namespace come in one message. While something critical lasts, what is less of the same
    alert and place is not told. The alert that always fires goes to the watchdog alone, every five minutes.

    Args:
        receivers: ``monitoring_receivers``: name, severities, and one of webhook, slack, email, pagerduty.
        watchdog: ``monitoring_watchdog``: url and bearer_token, or nothing.
        repeat_hours: after how many hours an alert that lasts is told again.
        site: what e-mails' subjects begin with.
        drill: the address at which the drill waits for its alert.
    """
    told = [
        {
            "receiver": receiver["name"],
            "matchers": [f"severity=~{'|'.join(receiver.get('severities') or SEVERITIES)}"],
            "continue": True,
        }
        for receiver in receivers
    ]
    always: dict[str, Any] = {"receiver": WATCHDOG if watchdog else _NOBODY, "matchers": [f"alertname={WATCHDOG}"]}
    if watchdog:
        always |= {"group_wait": "0s", "group_interval": "5m", "repeat_interval": "5m"}
    tried = {
        "receiver": DRILL,
        "matchers": [f"alertname={DRILL}"],
        "group_by": ["drill"],
        "group_wait": "0s",
        "group_interval": "5s",
    }
    made: list[dict[str, Any]] = [
        {"name": _NOBODY},
        # Its pod is gone when the alert is.
        {"name": DRILL, "webhook_configs": [{"url": drill, "send_resolved": False}]},
    ]
    made += [{"name": one["name"], **_receiver(one, site)} for one in receivers]
    if watchdog:
        made.append({"name": WATCHDOG, "webhook_configs": [{**_webhook(watchdog), "send_resolved": False}]})
    return {
        "route": {
            "receiver": _NOBODY,
            "group_by": ["alertname", "namespace"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": f"{repeat_hours}h",
            "routes": [always, tried, *told],
        },
        "inhibit_rules": [
            {
                "source_matchers": [f"severity={worse}"],
                "target_matchers": [f"severity=~{'|'.join(SEVERITIES[rank:])}"],
                "equal": ["alertname", "namespace", "slo"],
            }
            for rank, worse in enumerate(SEVERITIES[:-1], 1)
        ],
        "receivers": made,
    }


def remote_write_secrets(remotes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the file that each remote store's password or token is mounted as, of those that ask for one."""
    found = {f"remote-{remote['name']}": remote.get("password") or remote.get("bearer_token") for remote in remotes}
    return {name: secret for name, secret in found.items() if secret}


def probe_targets(probes: Sequence[Mapping[str, Any]], own_hosts: Sequence[str]) -> list[dict[str, Any]]:
    """Return what Prometheus has probed, as static_configs: what is connected to, and labels that say how.

    Args:
        probes: ``monitoring_probes``: name, url, and through, a host to connect to instead of the URL's.
        own_hosts: hosts whose certificate is signed by a CA of ours.
    """
    return [_probe_target(probe, own_hosts) for probe in probes]


def _probe_target(probe: Mapping[str, Any], own_hosts: Sequence[str]) -> dict[str, Any]:
    parts = urlsplit(probe["url"])
    labels = {
        "probe": probe["name"],
        "instance": probe["url"],
        "__param_module": "own" if parts.hostname in own_hosts else "public",
    }
    if not probe.get("through"):
        return {"targets": [probe["url"]], "labels": labels}
    # The exporter asks for this host, and expects a certificate of it.
    labels["__param_hostname"] = parts.hostname
    port = f":{parts.port}" if parts.port else ""
    return {"targets": [parts._replace(netloc=f"{probe['through']}{port}").geturl()], "labels": labels}


def namespace_peers(namespaces: Sequence[str]) -> list[dict[str, str]]:
    """Return peers that mean every pod of some namespaces."""
    return [{"namespace": name} for name in namespaces]


def _receiver(receiver: Mapping[str, Any], site: str) -> dict[str, Any]:
    """Return a receiver's section."""
    if receiver.get("webhook"):
        return {"webhook_configs": [{**_webhook(receiver["webhook"]), "send_resolved": True}]}
    if receiver.get("slack"):
        slack = receiver["slack"]
        return {"slack_configs": [{"api_url": slack["url"], "channel": slack["channel"], "send_resolved": True}]}
    if receiver.get("pagerduty"):
        return {"pagerduty_configs": [{"routing_key": receiver["pagerduty"]["routing_key"], "send_resolved": True}]}
    email = receiver["email"]
    subject = f'{site}: {{{{ template "email.default.subject" . }}}}'
    return {
        "email_configs": [
            {
                **{key: email[key] for key in KINDS["email"]},
                **(
                    {"auth_username": email["username"], "auth_password": email["password"]}
                    if email.get("username")
                    else {}
                ),
                "headers": {"Subject": subject},
                "send_resolved": True,
            }
        ]
    }


def _webhook(webhook: Mapping[str, Any]) -> dict[str, Any]:
    """Return a webhook's section."""
    token = webhook.get("bearer_token")
    authorization = {"http_config": {"authorization": {"credentials": token}}} if token else {}
    return {"url": webhook["url"], **authorization}
