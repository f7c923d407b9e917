"""The chart charts/exchange, rendered by Helm: valid for Kubernetes, secure, and strict about its values."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from ansible_collections.cryptoexchange.platform.plugins.plugin_utils.rules_exchange_app import CHART_VALUES, RESERVED
from cluster import gobuild
from cluster.paths import tools

PROJECT = Path(__file__).resolve().parents[3]
CHART = PROJECT / "charts" / "exchange"
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
SUPPORTED = yaml.safe_load((PROJECT / "roles" / "platform" / "vars" / "main.yml").read_text())
MINORS = [SUPPORTED["platform_kubernetes_oldest"], SUPPORTED["platform_kubernetes_newest"]]
# What the defaults lack.
SMALLEST = {"hosts": ["app.example.com"], "database": {"host": "db", "name": "app"}}

Object = dict[str, Any]


@cache
def helm() -> str:
    """Return Helm's path: from PATH or the tools folder, built if it is in neither."""
    found = shutil.which("helm") or shutil.which(str(tools() / "helm"))
    return found or str(gobuild.build(gobuild.programs()["helm"]) / "helm")


def run(*arguments: str, values: Object | None = None) -> subprocess.CompletedProcess[str]:
    command = [helm(), *arguments, *(["--values", "-"] if values is not None else [])]
    text = None if values is None else yaml.safe_dump(values)
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def template(values: Object, minor: str = MINORS[-1]) -> subprocess.CompletedProcess[str]:
    return run("template", "shop", str(CHART), "--namespace", "shop", "--kube-version", minor, values=values)


def render(values: Object) -> list[Object]:
    result = template(values)
    assert result.returncode == 0, result.stderr
    return [item for item in yaml.safe_load_all(result.stdout) if item]


@cache
def example(name: str) -> tuple[Object, ...]:
    return tuple(render(SMALLEST if name == "default" else yaml.safe_load((CHART / "examples" / name).read_text())))


def merged(base: Object, more: Object) -> Object:
    result = dict(base)
    for key, value in more.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return result


def find(objects: tuple[Object, ...] | list[Object], kind: str, name: str) -> Object:
    return next(item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name)


def pod_of(item: Object) -> Object:
    spec: Object = item["spec"]
    spec = spec["jobTemplate"]["spec"] if item["kind"] == "CronJob" else spec
    pod: Object = spec["template"]
    return pod


def workloads(objects: tuple[Object, ...]) -> list[Object]:
    return [item for item in objects if item["kind"] in {"Deployment", "CronJob", "Job"}]


def containers(item: Object) -> list[Object]:
    spec = pod_of(item)["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def environment(container: Object) -> dict[str, Object]:
    entries = container.get("env", [])
    names = [entry["name"] for entry in entries]
    assert len(names) == len(set(names)), f"set twice: {names}"
    return {entry["name"]: entry for entry in entries}


NAMES = ["default", *(path.name for path in EXAMPLES)]


def test_lint_finds_nothing() -> None:
    result = run("lint", "--strict", str(CHART), "--kube-version", MINORS[-1], values=SMALLEST)
    assert result.returncode == 0, result.stdout


def test_rules_know_the_chart_s_values() -> None:
    assert set(yaml.safe_load((CHART / "values.yaml").read_text())) == CHART_VALUES


@pytest.mark.parametrize("minor", MINORS)
@pytest.mark.parametrize("name", NAMES)
def test_objects_are_valid(name: str, minor: str) -> None:
    for item in example(name):
        used = kubernetes_validate.validate(item, minor, strict=True)
        assert used.startswith(minor)


@pytest.mark.parametrize("name", NAMES)
def test_pods_meet_pod_security_restricted_and_have_no_token(name: str) -> None:
    for item in workloads(example(name)):
        spec = pod_of(item)["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(item):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"]
            assert container["resources"].get("limits") or name == "maximal.yaml"
            assert container["image"].count("latest") == 0


@pytest.mark.parametrize("name", NAMES)
def test_selectors_name_three_labels_and_never_a_version(name: str) -> None:
    expected = {f"app.kubernetes.io/{label}" for label in ("name", "instance", "component")}
    for item in example(name):
        labels = item["metadata"]["labels"]
        assert expected | {"app.kubernetes.io/part-of", "app.kubernetes.io/managed-by"} <= set(labels)
        if item["kind"] == "Deployment":
            selector = item["spec"]["selector"]["matchLabels"]
            assert set(selector) == expected
            assert selector.items() <= pod_of(item)["metadata"]["labels"].items()


@pytest.mark.parametrize("name", NAMES)
def test_every_mount_has_its_volume(name: str) -> None:
    for item in workloads(example(name)):
        volumes = {volume["name"] for volume in pod_of(item)["spec"].get("volumes", [])}
        for container in containers(item):
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_is_made_or_written_out(name: str) -> None:
    for item in example(name):
        assert item["kind"] != "Secret"
    for item in workloads(example(name)):
        for container in containers(item):
            for variable, entry in environment(container).items():
                if "PASSWORD" in variable or "KEY" in variable:
                    assert set(entry["valueFrom"]) == {"secretKeyRef"}


def test_a_rollout_never_has_less_than_all_pods_and_gives_requests_time_to_end() -> None:
    web = find(example("default"), "Deployment", "shop-web")
    assert web["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    spec = pod_of(web)["spec"]
    stop = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    graceful = int(environment(spec["containers"][0])["WEB_GRACEFUL_TIMEOUT_SECONDS"]["value"])
    assert spec["terminationGracePeriodSeconds"] > stop + graceful


def test_probes_carry_the_host_and_the_scheme() -> None:
    container = pod_of(find(example("default"), "Deployment", "shop-web"))["spec"]["containers"][0]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        headers = {item["name"]: item["value"] for item in container[probe]["httpGet"]["httpHeaders"]}
        assert headers == {"Host": "app.example.com", "X-Forwarded-Proto": "https"}
    assert container["livenessProbe"]["httpGet"]["path"] != container["readinessProbe"]["httpGet"]["path"]


def test_the_migration_has_what_it_needs_before_the_first_installation() -> None:
    objects = example("default")
    hooks = [item for item in objects if "helm.sh/hook" in item["metadata"].get("annotations", {})]
    weight = {item["kind"]: int(item["metadata"]["annotations"]["helm.sh/hook-weight"]) for item in hooks}
    assert set(weight) == {"ServiceAccount", "NetworkPolicy", "Job"}
    assert weight["ServiceAccount"] < weight["Job"]
    assert weight["NetworkPolicy"] < weight["Job"]
    assert {item["metadata"]["annotations"]["helm.sh/hook"] for item in hooks} == {"pre-install,pre-upgrade"}
    job = next(item for item in hooks if item["kind"] == "Job")
    spec = pod_of(job)["spec"]
    assert spec["serviceAccountName"] == next(i for i in hooks if i["kind"] == "ServiceAccount")["metadata"]["name"]
    policy = next(item for item in hooks if item["kind"] == "NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= pod_of(job)["metadata"]["labels"].items()
    assert not any("persistentVolumeClaim" in volume for volume in spec["volumes"])
    variables = environment(spec["containers"][0])
    assert variables["PGOPTIONS"]["value"] == "-c lock_timeout=5000"
    assert variables["MIGRATE_LOCK_TIMEOUT_MS"]["value"] == "5000"


def test_steps_of_the_migration_run_one_after_the_other() -> None:
    spec = pod_of(find(example("maximal.yaml"), "Job", "second-migrate"))["spec"]
    assert [item["name"] for item in spec["initContainers"]] == ["seed-1", "migrate"]
    (last,) = spec["containers"]
    assert last["name"] == "roles"
    assert environment(last)["STEP"]["value"] == "2"
    assert environment(last)["MIGRATE"]["value"] == "1"
    assert environment(last)["ROLE_KEY"]["valueFrom"]["secretKeyRef"] == {"name": "roles", "key": "key"}


def test_a_database_url_refers_to_the_secret() -> None:
    variables = environment(pod_of(find(example("monolith.yaml"), "Deployment", "shop-web"))["spec"]["containers"][0])
    assert variables["DATABASE_URL"]["value"] == (
        "postgres://$(DATABASE_URL_USER):$(DATABASE_URL_PASSWORD)@postgres-rw.exchange-database.svc:5432/shop"
        "?sslmode=verify-full&sslrootcert=/etc/database/ca.crt"
    )
    names = list(variables)
    assert names.index("DATABASE_URL_PASSWORD") < names.index("DATABASE_URL"), "only earlier variables are replaced"
    assert variables["PGSSLROOTCERT"]["value"] == "/etc/database/ca.crt"
    assert variables["PGTARGETSESSIONATTRS"]["value"] == "read-write"
    assert variables["DJANGO_ALLOWED_HOSTS"]["value"] == "shop.example.com www.shop.example.com"
    assert "CSRF_TRUSTED_ORIGINS" not in variables
    assert "DATABASE_HOST" not in variables


def test_what_the_values_set_wins_over_the_chart_s_own_variables() -> None:
    values = merged(
        SMALLEST, {"env": {"DATABASE_HOST": "other"}, "secretEnv": {"PGSSLMODE": {"secret": "s", "key": "k"}}}
    )
    web = pod_of(find(render(values), "Deployment", "shop-web"))["spec"]["containers"][0]
    assert environment(web)["DATABASE_HOST"]["value"] == "other"
    assert "valueFrom" in environment(web)["PGSSLMODE"]


def test_a_kept_entrypoint_tcp_probes_and_seeded_directories() -> None:
    objects = example("monolith.yaml")
    assert not [item for item in objects if item["kind"] == "Job"]
    spec = pod_of(find(objects, "Deployment", "shop-web"))["spec"]
    container = spec["containers"][0]
    assert "command" not in container
    assert container["readinessProbe"]["tcpSocket"] == {"port": "http"}
    (seed,) = spec["initContainers"]
    assert seed["command"] == ["cp", "-R", "/srv/shop/shop/locale/.", "/seed/"]
    covered = next(m for m in container["volumeMounts"] if m["mountPath"] == "/srv/shop/shop/locale")
    assert seed["volumeMounts"] == [{"name": covered["name"], "mountPath": "/seed"}]
    assert spec["securityContext"]["runAsUser"] == 1000


def test_the_autoscaler_owns_the_number_of_replicas() -> None:
    objects = example("maximal.yaml")
    assert "replicas" not in find(objects, "Deployment", "second-web")["spec"]
    autoscaler = find(objects, "HorizontalPodAutoscaler", "second-web")
    target = autoscaler["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "second-web"}
    # Else KEDA's webhook refuses the ScaledObject that is to follow it.
    assert autoscaler["metadata"]["annotations"] == {"validations.keda.sh/hpa-ownership": "false"}
    assert find(example("default"), "Deployment", "shop-web")["spec"]["replicas"] == 2


def with_keda() -> list[Object]:
    auto = {"enabled": True, "source": "keda", "requestsInFlight": 6, "latencyP95Milliseconds": 500}
    return render(merged(SMALLEST, {"autoscaling": {**auto, "prometheusAddress": "http://prometheus:9090"}}))


def test_an_autoscaler_of_keda_s_owns_the_number_of_replicas_too() -> None:
    objects = with_keda()
    assert "replicas" not in find(objects, "Deployment", "shop-web")["spec"]
    assert not any(item["kind"] == "HorizontalPodAutoscaler" for item in objects)
    spec = find(objects, "ScaledObject", "shop-web")["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 6)
    assert spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == {
        "scaleUp": {"stabilizationWindowSeconds": 0},
        "scaleDown": {"stabilizationWindowSeconds": 300},
    }
    pods = 'namespace="shop", pod=~"shop-web-.*"'
    bucket = f"django_http_requests_latency_including_middlewares_seconds_bucket{{{pods}}}"
    prometheus = {"serverAddress": "http://prometheus:9090"}
    in_flight = {**prometheus, "query": f"sum(exchange_requests_in_flight{{{pods}}})", "threshold": "6"}
    percentile = f"(histogram_quantile(0.95, sum by (le) (rate({bucket}[2m]))) > 0) or vector(0)"
    assert spec["triggers"] == [
        {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "70"}},
        {"type": "prometheus", "metricType": "AverageValue", "metadata": in_flight},
        {
            "type": "prometheus",
            "metricType": "Value",
            "metadata": {**prometheus, "query": percentile, "threshold": "0.5"},
        },
    ]


def test_the_autoscaler_asks_an_adapter_for_what_prometheus_knows() -> None:
    asked = find(example("maximal.yaml"), "HorizontalPodAutoscaler", "second-web")["spec"]["metrics"][2:4]
    assert [(one["type"], one["pods"]["metric"]["name"], one["pods"]["target"]["averageValue"]) for one in asked] == [
        ("Pods", "exchange_requests_in_flight", "6"),
        ("Pods", "exchange_latency_p95_seconds", "500m"),
    ]


def test_a_volume_for_one_pod_is_handed_over_at_a_rollout() -> None:
    media = {"type": "pvc", "pvc": {"accessMode": "ReadWriteOnce"}}
    worker = {"queue": {"command": ["work"]}}
    objects = render(merged(SMALLEST, {"media": media, "web": {"replicas": 1}, "workers": worker}))
    assert find(objects, "Deployment", "shop-web")["spec"]["strategy"] == {"type": "Recreate"}
    volumes = pod_of(find(objects, "Deployment", "shop-queue"))["spec"]["volumes"]
    assert not any("persistentVolumeClaim" in volume for volume in volumes)
    claim = find(objects, "PersistentVolumeClaim", "shop-media")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


@pytest.mark.parametrize(
    ("media", "told"),
    [
        ({"type": "none"}, {}),
        ({"type": "pvc", "path": "/srv/media"}, {"MEDIA_ROOT": "/srv/media"}),
        ({"type": "pvc", "path": "/srv/media", "pvc": {"pathEnv": "UPLOADS"}}, {"UPLOADS": "/srv/media"}),
        ({"type": "pvc", "pvc": {"pathEnv": ""}}, {}),
    ],
)
def test_the_image_is_told_where_uploads_go(media: dict[str, Any], told: dict[str, str]) -> None:
    web = find(render(merged(SMALLEST, {"media": media, "web": {"replicas": 1}})), "Deployment", "shop-web")
    found = environment(pod_of(web)["spec"]["containers"][0])
    assert {name: found[name]["value"] for name in ("MEDIA_ROOT", "UPLOADS") if name in found} == told


def test_network_policies_open_what_is_used() -> None:
    policy = find(example("maximal.yaml"), "NetworkPolicy", "second")["spec"]
    assert policy["podSelector"]["matchLabels"] == {
        "app.kubernetes.io/name": "second",
        "app.kubernetes.io/instance": "second-instance",
    }
    assert {"ports": [{"protocol": "TCP", "port": 6432}], "to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]} in policy[
        "egress"
    ]
    web = find(example("maximal.yaml"), "NetworkPolicy", "second-web")["spec"]
    assert [rule["ports"][0]["port"] for rule in web["ingress"]] == ["http", 9100]


DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ({"tag": "3f2a9c1"}, {"APP_VERSION": "3f2a9c1"}),
        ({"tag": "3f2a9c1", "digest": DIGEST}, {"APP_VERSION": DIGEST}),
        ({"tag": "3f2a9c1", "versionEnv": "RELEASE"}, {"RELEASE": "3f2a9c1"}),
        ({"tag": "3f2a9c1", "versionEnv": ""}, {}),
    ],
)
def test_every_process_is_told_which_version_it_is(image: dict[str, str], told: dict[str, str]) -> None:
    worker = {"workers": {"worker": {"command": ["work"]}}}
    objects = render(merged(SMALLEST, {"image": image, **worker}))
    found = [
        {name: entry["value"] for name, entry in environment(container).items() if name in {"APP_VERSION", "RELEASE"}}
        for item in workloads(tuple(objects))
        for container in containers(item)
    ]
    assert len(found) == len(["web", "migrate", "publish_static", "worker"])
    assert all(one == told for one in found)


def test_nobody_reaches_an_image_that_has_no_way_in() -> None:
    values = merged(SMALLEST, {"networkPolicy": {"ingressControllers": []}})
    assert find(render(values), "NetworkPolicy", "shop-web")["spec"]["ingress"] == []


def test_a_changed_secret_starts_pods_anew() -> None:
    templates = [
        pod_of(find(render(merged(SMALLEST, {"checksums": {"secrets": text}})), "Deployment", "shop-web"))
        for text in ("one", "two")
    ]
    assert templates[0]["metadata"]["annotations"]["checksum/secrets"] == "one"
    assert templates[0] != templates[1]


def test_bookkeeping_changes_no_object() -> None:
    assert render(merged(SMALLEST, {"bookkeeping": {"retryOfRevision": 7, "chartChecksum": "x"}})) == list(
        example("default")
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"web": {"replicas": 0}}, "/web/replicas"),
        ({"web": {"replica": 2}}, "'replica' not allowed"),
        ({"unknown": 1}, "'unknown' not allowed"),
        ({"web": {"port": 70000}}, "/web/port"),
        ({"web": {"resources": {"requests": {"memory": "5 potatoes"}}}}, "5 potatoes"),
        ({"web": {"resources": {"request": {"memory": "5Mi"}}}}, "'request' not allowed"),
        ({"web": {"terminationGraceSeconds": 35}}, "web.terminationGraceSeconds is 35"),
        ({"image": {"tag": "latest"}}, "/image/tag"),
        ({"image": {"tag": 5}}, "/image/tag"),
        ({"image": {"tag": ""}}, "image.tag is empty"),
        ({"image": {"digest": "sha256:1"}}, "/image/digest"),
        ({"hosts": []}, "hosts is empty"),
        ({"hosts": ["two words"]}, "/hosts/0"),
        ({"env": {"A-B": "x"}}, "at '/env': additional properties 'A-B'"),
        ({"secretEnv": {"A": {"secret": "x"}}}, "/secretEnv/A"),
        ({"database": {"sslmode": "verify"}}, "/database/sslmode"),
        ({"database": {"env": {"socket": "X"}}}, "'socket' not allowed"),
        ({"writablePaths": [{"path": "tmp"}]}, "/writablePaths/0/path"),
        ({"writablePaths": [{"path": "/data"}, {"path": "/data"}]}, "expected each path once"),
        ({"media": {"type": "disk"}}, "/media/type"),
        ({"media": {"type": "s3"}}, "media.s3.bucket is empty"),
        ({"media": {"type": "pvc", "pvc": {"accessMode": "ReadWriteOnce"}}}, "media.pvc.accessMode is ReadWriteOnce"),
        ({"podSecurity": {"runAsUser": -1}}, "/podSecurity/runAsUser"),
        ({"probes": {"type": "exec"}}, "/probes/type"),
        ({"probes": {"startup": {"path": "healthz"}}}, "/probes/startup/path"),
        ({"autoscaling": {"enabled": True, "minReplicas": 9}}, "autoscaling.minReplicas is 9"),
        ({"autoscaling": {"enabled": True, "cpuPercent": None}}, "expected one of autoscaling.cpuPercent"),
        ({"autoscaling": {"enabled": True, "cpuPercent": 0}}, "expected one of autoscaling.cpuPercent"),
        ({"autoscaling": {"requestsInFlight": 4}}, "autoscaling.source is none"),
        ({"autoscaling": {"requestsInFlight": 4, "source": "keda"}}, "autoscaling.prometheusAddress is empty"),
        ({"autoscaling": {"metrics": [{}], "source": "keda"}}, "autoscaling.metrics is set"),
        ({"autoscaling": {"source": "prometheus"}}, "/autoscaling/source"),
        ({"podDisruptionBudget": {"maxUnavailable": 0}}, "/podDisruptionBudget/maxUnavailable"),
        ({"migrate": {"steps": []}}, "/migrate/steps"),
        ({"migrate": {"steps": [{"name": "migrate"}]}}, "/migrate/steps/0"),
        ({"workers": {"queue": {}}}, "/workers/queue"),
        ({"workers": {"queue": {"command": ["x"], "replica": 1}}}, "'replica' not allowed"),
        ({"workers": {"two words": {"command": ["x"]}}}, "at '/workers': additional properties 'two words'"),
        *(({"workers": {name: {"command": ["x"]}}}, f"workers.{name}") for name in RESERVED),
        ({"cronJobs": {"job": {"command": ["x"], "schedule": "daily"}}}, "/cronJobs/job/schedule"),
        ({"cronJobs": {"job": {"command": ["x"]}}}, "/cronJobs/job"),
        (
            {"cronJobs": {"x": {"command": ["x"], "schedule": "@daily"}}, "workers": {"x": {"command": ["x"]}}},
            "a worker is called so",
        ),
        ({"networkPolicy": {"database": {"cidrs": ["10.0.0.0"]}}}, "/networkPolicy/database/cidrs/0"),
        ({"ingress": {"className": "Not A Class"}}, "/ingress/className"),
    ],
    ids=str,
)
def test_wrong_values_are_refused_by_name(values: Object, message: str) -> None:
    result = template(merged(SMALLEST, values))
    assert result.returncode != 0
    assert message in result.stderr
