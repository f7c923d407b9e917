"""What an uninstallation removes, in which order, and what it leaves. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Object = Mapping[str, Any]

CLAIM, SECRET, NAMESPACE, VOLUME = "PersistentVolumeClaim", "Secret", "Namespace", "PersistentVolume"
# With the objects of others in them.
NEVER = frozenset({"CustomResourceDefinition", VOLUME})
# What would stand in the way of a removal: a webhook without its server. After it the application's release goes.
FIRST = ("APIService", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
# What runs, in the order in which it is stopped.
RUNNING = ("CronJob", "Job", "Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Pod")
# What is made in every namespace, or of itself by what is there, and holds nothing.
_FURNITURE_KINDS = frozenset({"Event", "Lease", "Endpoints", "EndpointSlice", "ControllerRevision"})
_FURNITURE = frozenset(
    {
        ("ConfigMap", "kube-root-ca.crt"),
        ("ConfigMap", "openshift-service-ca.crt"),
        ("ServiceAccount", "default"),
        ("ServiceAccount", "builder"),
        ("ServiceAccount", "deployer"),
    }
)
_PART_OF, _INSTANCE, _MANAGED_BY = (f"app.kubernetes.io/{name}" for name in ("part-of", "instance", "managed-by"))


def _ours(item: Object, asked: Mapping[str, Any]) -> bool:
    """Say whether we have applied it: by our labels and by our field manager."""
    labels = item["labels"]
    return (
        (labels.get(_PART_OF), labels.get(_INSTANCE), labels.get(_MANAGED_BY))
        == ("cryptoexchange", asked["instance"], "ansible")
        and (asked["manager"], "Apply") in {tuple(entry) for entry in item["managers"]}
        and not item["owner"]
    )


def _of_release(item: Object, asked: Mapping[str, Any]) -> bool:
    labels = item["labels"]
    return bool(
        item["namespace"] == asked["release_namespace"]
        and labels.get(_MANAGED_BY) == "Helm"
        and (labels.get(_PART_OF), labels.get(_INSTANCE)) == ("cryptoexchange", asked["instance"])
    )


def _is_revision(item: Object, asked: Mapping[str, Any]) -> bool:
    """Say whether it is Helm's record of our release."""
    return bool(
        item["kind"] == SECRET
        and item["type"] == "helm.sh/release.v1"
        and item["namespace"] == asked["release_namespace"]
        and item["labels"].get("name") == asked["release"]
    )


def _is_state(item: Object, asked: Mapping[str, Any]) -> bool:
    """Say whether a program of ours keeps its state there, as Patroni does: our labels, but nobody's to manage."""
    labels = item["labels"]
    return (
        item["kind"] == "ConfigMap"
        and labels.get(_INSTANCE) == asked["instance"]
        and "app.kubernetes.io/name" in labels
        and _MANAGED_BY not in labels
        and not item["owner"]
    )


def _is_furniture(item: Object) -> bool:
    return (
        bool(item["owner"])
        or item["kind"] in _FURNITURE_KINDS
        or (item["kind"], item["name"]) in _FURNITURE
        or (item["kind"] == SECRET and item["type"] == "kubernetes.io/service-account-token")
    )


def _place(item: Object) -> str:
    return f"{item['namespace']}/{item['name']}" if item["namespace"] else str(item["name"])


def line(item: Object) -> str:
    """Return an object as a person reads it: Secret exchange-database/postgres."""
    return f"{item['kind']} {_place(item)}"


def _definition(item: Object) -> dict[str, Any]:
    place = {"namespace": item["namespace"]} if item["namespace"] else {}
    return {
        "apiVersion": item["apiVersion"],
        "kind": item["kind"],
        "metadata": {"name": item["name"], **place},
    }


def _kept_because(item: Object, asked: Mapping[str, Any]) -> str:
    """Return why something of ours stays unless it is named, or nothing if it doesn't."""
    if item["kind"] == CLAIM and item["labels"].get(_INSTANCE) == asked["instance"] and not item["owner"]:
        return f"data, in the volume {item['volume'] or '(none yet)'}"
    # A leaf certificate is made again by the CA, whose key is in the system namespace.
    leaf = item["type"] == "kubernetes.io/tls" and item["namespace"] != asked["system_namespace"]
    if item["kind"] == SECRET and _ours(item, asked) and not leaf:
        return "made once: passwords and keys that can't be made again"
    return "what the members of the database know of each other" if _is_state(item, asked) else ""


def _fate(item: Object, asked: Mapping[str, Any]) -> tuple[str, str]:
    """Return what becomes of an object, and why: remove, release, keep, foreign or nothing."""
    fate, because = "nothing", ""
    if why := _kept_because(item, asked):
        named = {item["namespace"], _place(item)} & set(asked["delete_data"])
        fate, because = ("remove", "") if named else ("keep", why)
    elif item["kind"] == NAMESPACE:
        pass
    elif _is_revision(item, asked):
        fate = "release"
    elif _of_release(item, asked):
        # Helm leaves its hooks; everything else it removes itself, as long as it knows of the release.
        fate, because = ("remove", "") if item["hook"] else asked["by_helm"]
    elif _ours(item, asked):
        fate, because = ("keep", "others' objects would go with it") if item["kind"] in NEVER else ("remove", "")
    elif not _is_furniture(item) and (
        item["namespace"] in asked["labelled"] or item["labels"].get(_PART_OF) == "cryptoexchange"
    ):
        fate, because = "foreign", "not ours"
    return fate, because


def _rank(item: Object) -> int:
    order = [*FIRST, *RUNNING]
    if item["kind"] in order:
        return order.index(item["kind"])
    return len(order) + int(item["kind"] == CLAIM)


def _namespaces(
    objects: Sequence[Object], stays: Mapping[str, int], unseen: Sequence[str], asked: Mapping[str, Any]
) -> tuple[list[Object], list[str]]:
    """Return our namespaces that can go, and a line for each that stays."""
    gone, kept = [], []
    for item in (one for one in objects if one["kind"] == NAMESPACE and _ours(one, asked)):
        others = sorted({manager for manager, _ in item["managers"] if manager != asked["manager"]})
        if stays[item["name"]]:
            kept.append(f"{line(item)}: with {stays[item['name']]} objects that stay")
        elif others:
            kept.append(f"{line(item)}: {', '.join(others)} has written to it too, so it may not be ours alone")
        elif unseen:
            kept.append(f"{line(item)}: it can't be seen whether it is empty")
        else:
            gone.append(item)
    return gone, kept


def plan(found: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what has to be done.

    Args:
        found: what installed.look() returned.
        asked: ``instance``, ``manager`` (our field manager), ``system_namespace``, the application's ``release`` and
            ``release_namespace``, ``namespaces``, ours by the inventory, and ``delete_data``: namespaces, or
            NAMESPACE/CLAIM, whose data goes too.

    Returns:
        release: whether Helm has a release to remove; first, running, rest, secrets, namespaces: objects to remove, in
        this order; lost: data that would go without having been named; going: what goes, as lines; kept: a line for
        everything that stays, and why; questions: the access that it takes.
    """
    objects = sorted(found["objects"], key=lambda one: (one["kind"], _place(one)))
    labelled = {item["name"] for item in objects if item["kind"] == NAMESPACE and _ours(item, asked)}
    known = any(_is_revision(item, asked) for item in objects)
    by_helm = ("release", "") if known else ("foreign", "labelled as of our release, which Helm doesn't know")
    fates = [(item, *_fate(item, {**asked, "labelled": labelled, "by_helm": by_helm})) for item in objects]
    remove = sorted((item for item, fate, _ in fates if fate == "remove"), key=_rank)
    release = [item for item, fate, _ in fates if fate == "release"]
    stays = Counter(item["namespace"] for item, fate, _ in fates if fate in {"keep", "foreign"})
    namespaces, kept_namespaces = _namespaces(objects, stays, found["unseen"], asked)
    claims = {_place(item) for item in objects if item["kind"] == CLAIM}
    deleted = {_place(item) for item in remove if item["kind"] == CLAIM}
    kept = [f"{line(item)}: {why}" for item, fate, why in fates if fate in {"keep", "foreign"}]
    kept += [
        f"{line(item)}: the volume of {item['claim']}, which its reclaim policy {item['reclaim']} keeps"
        for item in objects
        if item["kind"] == VOLUME and item["reclaim"] == "Retain" and item["claim"].split("/")[0] in asked["namespaces"]
        if item["claim"] not in claims - deleted
    ]
    kept += kept_namespaces
    kept += [f"(not looked at: {what})" for what in found["unseen"]]
    order = {
        "first": [item for item in remove if item["kind"] in FIRST],
        "running": [item for item in remove if item["kind"] in RUNNING],
        "rest": [item for item in remove if item["kind"] not in {*FIRST, *RUNNING, SECRET}],
        "secrets": [item for item in remove if item["kind"] == SECRET],
        "namespaces": namespaces,
    }
    return {
        **{name: [_definition(item) for item in items] for name, items in order.items()},
        "lost": _lost(objects, asked),
        "release": known,
        "going": [line(item) for item in (*release, *remove, *namespaces)],
        "kept": kept,
        "questions": _questions((*release, *remove, *namespaces)),
    }


def _lost(objects: Sequence[Object], asked: Mapping[str, Any]) -> list[str]:
    """Return claims that Kubernetes would delete with their StatefulSet, and that are not named."""
    return [
        f"{line(item)} would be deleted with its StatefulSet (persistentVolumeClaimRetentionPolicy): name it in "
        "uninstall_delete_data, or set whenDeleted to Retain first"
        for item in objects
        if item["kind"] == CLAIM
        and item["owner"] == "StatefulSet"
        and item["labels"].get(_INSTANCE) == asked["instance"]
        if not {item["namespace"], _place(item)} & set(asked["delete_data"])
    ]


def _questions(items: Iterable[Object]) -> list[dict[str, str]]:
    """Return for each kind and namespace that something goes from what to ask in a SelfSubjectAccessReview."""
    asked = {(item["apiVersion"].rpartition("/")[0], item["resource"], item["namespace"]) for item in items}
    return [
        {"verb": "delete", "group": group, "resource": resource, **({"namespace": namespace} if namespace else {})}
        for group, resource, namespace in sorted(asked)
    ]


def names(delete_data: str | Sequence[str]) -> list[str]:
    """Return the names of data to delete; a form, or `-e` with an equals sign, gives one text for all of them."""
    listed = [delete_data] if isinstance(delete_data, str) else delete_data
    return [name for text in listed for name in text.replace(",", " ").split()]


def problems(delete_data: Sequence[str], namespaces: Sequence[str]) -> list[str]:
    """Return what is wrong with the names of data to delete: each is one of our namespaces, or a claim in one of them.

    A name whose namespace or claim is gone already is right: the run that deleted it may be repeated.
    """
    return [
        f"uninstall_delete_data has {name!r}: expected NAMESPACE, or NAMESPACE/CLAIM, with a namespace of ours: "
        f"{', '.join(sorted(namespaces))}. Buckets are not deleted here"
        for name in delete_data
        if name.count("/") > 1 or name.partition("/")[0] not in namespaces or name.endswith("/")
    ]
