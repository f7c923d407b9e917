"""What `make demo` says at its end: the URL, how to trust the CA, where the admin password is."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT / "tests"))

from cluster.kind import CLUSTERS, kubectl
from cluster.paths import tools
from cluster.shell import say


def main() -> None:
    """Write the CA to a file and print the report."""
    cluster = CLUSTERS["demo"]
    variables = yaml.safe_load((PROJECT / "inventories" / "kind" / "group_vars" / "all" / "platform.yml").read_text())
    domain = variables["platform_domain"]
    secret = json.loads(kubectl(cluster, "-n", "exchange-platform", "get", "secret", "ingress-ca", "-o", "json"))
    ca = cluster.folder / "ca.crt"
    ca.write_bytes(base64.b64decode(secret["data"]["tls.crt"]))
    shown = ca.relative_to(PROJECT)
    say(f"""
The exchange is up:     https://{domain}/
Ask it:                 curl --cacert {shown} https://{domain}/accounts/login/
Trust it in a browser:  import {shown} as an authority (it signs for this demo only)
Administrator:          https://{domain}/admin/, user admin, password:
                        {tools()}/kubectl --kubeconfig build/kind/kubeconfig -n exchange \\
                          get secret exchange-admin -o jsonpath='{{.data.password}}' | base64 -d; echo
Something to look at:   {tools()}/kubectl --kubeconfig build/kind/kubeconfig -n exchange \\
                          exec deploy/exchange-web -- python manage.py seed_demo
Metrics and alerts:     {tools()}/kubectl --kubeconfig build/kind/kubeconfig -n exchange-monitoring \\
                          port-forward svc/prometheus 9090, then http://localhost:9090/
Remove it:              make clean""")


if __name__ == "__main__":
    main()
