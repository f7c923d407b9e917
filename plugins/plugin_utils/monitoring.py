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
# What a dashboard is opened with, of the labels that all alerts of a message share.
_PLACE = ("namespace", "pod", "node")
# Messages, as Alertmanager's templates: its own leave out what a rule says, or lead to addresses inside the cluster.
_TEXT = "{{ range .Alerts }}{{ .Annotations.summary }} ({{ .Annotations.runbook }})\n{{ end }}"
_HTML = (
    "{{ range .Alerts }}<p><b>{{ .Labels.alertname }}</b>, {{ .Labels.severity }}, {{ .Status }}<br>"
    "{{ .Annotations.summary }}<br>{{ .Annotations.runbook }}</p>{{ end }}"
)


def configuration(
    receivers: Sequence[Mapping[str, Any]],
    watchdog: Mapping[str, Any],
    repeat_hours: int,
    site: str,
    addresses: Mapping[str, str],
) -> dict[str, Any]:
    """Return what Alertmanager reads.

    Alerts of the same name and namespace come in one message. While something critical lasts, what is less of the same
    alert and place is not told. The alert that always fires goes to the watchdog alone, every five minutes.

    Args:
        receivers: ``monitoring_receivers``: name, severities, and one of webhook, slack, email, pagerduty.
        watchdog: ``monitoring_watchdog``: url and bearer_token, or nothing.
        repeat_hours: after how many hours an alert that lasts is told again.
        site: what e-mails' subjects begin with.
        addresses: ``drill``, at which the drill waits for its alert, and ``grafana``, empty where there is none.
    """
    told = [
        {
            "receiver": receiver["name"],
            # Whoever chooses none hears of all, of severities too that rules of the inventory's have made up.
            **({"matchers": [f"severity=~{'|'.join(chosen)}"]} if (chosen := receiver.get("severities")) else {}),
            "continue": True,
        }
        for receiver in receivers
    ]
    always: dict[str, Any] = {"receiver": WATCHDOG if watchdog else _NOBODY, "matchers": [f"alertname={WATCHDOG}"]}
    if watchdog:
        # Every fifth minute it is told again: at that moment just less than five minutes have gone by.
        always |= {"group_wait": "0s", "group_interval": "1m", "repeat_interval": "4m30s"}
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
        {"name": DRILL, "webhook_configs": [{"url": addresses["drill"], "send_resolved": False}]},
    ]
    made += [{"name": one["name"], **_receiver(one, site, _dashboard(addresses["grafana"]))} for one in receivers]
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


def _dashboard(grafana: str) -> str:
    """Return where the dashboard is that a message's alerts name, with their place: a template of Alertmanager's."""
    if not grafana:
        return ""
    place = "".join(f"{{{{ with .CommonLabels.{name} }}}}&var-{name}={{{{ . }}}}{{{{ end }}}}" for name in _PLACE)
    return f"{grafana}/d/{{{{ .CommonLabels.dashboard }}}}?from=now-1h{place}"


def _receiver(receiver: Mapping[str, Any], site: str, dashboard: str) -> dict[str, Any]:
    """Return a receiver's section."""
    if receiver.get("webhook"):
        return {"webhook_configs": [{**_webhook(receiver["webhook"]), "send_resolved": True}]}
    if receiver.get("slack"):
        slack = {"api_url": receiver["slack"]["url"], "channel": receiver["slack"]["channel"], "text": _TEXT}
        link = {"title_link": dashboard} if dashboard else {}
        return {"slack_configs": [{**slack, **link, "send_resolved": True}]}
    if receiver.get("pagerduty"):
        duty = {"routing_key": receiver["pagerduty"]["routing_key"], "send_resolved": True}
        links = {"links": [{"href": dashboard, "text": "Dashboard"}]} if dashboard else {}
        return {"pagerduty_configs": [{**duty, **links}]}
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
                "html": _HTML + (f'<p><a href="{dashboard}">Dashboard</a></p>' if dashboard else ""),
                "send_resolved": True,
            }
        ]
    }


def _webhook(webhook: Mapping[str, Any]) -> dict[str, Any]:
    """Return a webhook's section."""
    token = webhook.get("bearer_token")
    authorization = {"http_config": {"authorization": {"credentials": token}}} if token else {}
    return {"url": webhook["url"], **authorization}
