"""Nodes and capacity, and the dashboard of a single pod that log lines lead to."""

from __future__ import annotations

from typing import Any

from dashboards.board import board, of_prometheus
from dashboards.links import EVERY, NAMESPACE_LOGS, OF_SERIES, POD, POD_LOGS, logs, to
from dashboards.panels import Limits, Query, graph, stat

_NODE = 'node=~"$node"'
# The node's own, as its kubelet tells it: node-exporter sees the network of its pod alone.
_MACHINE = f'{_NODE}, id="/"'
_DISK = f'{_NODE}, fstype!~"tmpfs|overlay|squashfs|ramfs"'
_THIS = 'namespace=~"$namespace", pod=~"$pod"'


def nodes() -> dict[str, Any]:
    """Return the dashboard of nodes and capacity."""
    events = logs(EVERY, search=OF_SERIES["node"], title="Log lines that name the node")
    everywhere = logs(EVERY)
    ready = to("nodes", "This node alone", {"node": OF_SERIES["node"]})
    on_node = [events, ready]
    return board(
        "nodes",
        "Nodes and capacity",
        "How full nodes and volumes are, and which pods fill them.",
        {
            "Now": [
                stat(
                    "Nodes",
                    "none",
                    "Fewer than there are: kubectl get nodes; a node's pods move within minutes.",
                    [Query("count(kubelet_node_name)")],
                    [everywhere],
                    Limits(bad=1, low=True),
                ),
                stat(
                    "Busiest node's processors",
                    "percentunit",
                    "Red from 90 %: more nodes, or fewer pods on this one.",
                    [Query('max(1 - avg by (node) (rate(node_cpu_seconds_total{mode="idle"}[5m])))')],
                    [everywhere],
                    Limits(warning=0.75, bad=0.9),
                    decimals=0,
                ),
                stat(
                    "Fullest node's memory",
                    "percentunit",
                    "Red from 90 %: the kubelet evicts pods before it is all used.",
                    [Query("max(1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)")],
                    [everywhere],
                    Limits(warning=0.8, bad=0.9),
                    decimals=0,
                ),
                stat(
                    "Fullest disk of a node",
                    "percentunit",
                    "Red from 85 %: the kubelet removes images, then pods.",
                    [
                        Query(
                            'max(1 - node_filesystem_avail_bytes{fstype!~"tmpfs|overlay|squashfs|ramfs"} / '
                            'node_filesystem_size_bytes{fstype!~"tmpfs|overlay|squashfs|ramfs"})'
                        )
                    ],
                    [everywhere],
                    Limits(warning=0.75, bad=0.85),
                    decimals=0,
                ),
                stat(
                    "Fullest volume",
                    "percentunit",
                    "Red from 90 %: docs/runbooks/full-disk.md.",
                    [Query("max(1 - kubelet_volume_stats_available_bytes / kubelet_volume_stats_capacity_bytes)")],
                    [everywhere],
                    Limits(warning=0.8, bad=0.9),
                    decimals=0,
                ),
                stat(
                    "Killed for memory in 1 h",
                    "none",
                    "Any: the pod's memory below says which; raise its limit or mend the leak.",
                    [Query("sum(increase(container_oom_events_total[1h])) or vector(0)")],
                    [everywhere],
                    Limits(bad=1),
                    decimals=0,
                ),
            ],
            "Nodes": [
                graph(
                    "Processors",
                    "percentunit",
                    "Above 90 % everything on the node is slow: see which pods below.",
                    [
                        Query(
                            f'1 - avg by (node) (rate(node_cpu_seconds_total{{mode="idle", '
                            f"{_NODE}}}[$__rate_interval]))",
                            "{{node}}",
                        )
                    ],
                    on_node,
                    Limits(bad=0.9),
                ),
                graph(
                    "Memory",
                    "percentunit",
                    "Above 90 % pods are evicted: see which below.",
                    [
                        Query(
                            f"1 - node_memory_MemAvailable_bytes{{{_NODE}}} / node_memory_MemTotal_bytes{{{_NODE}}}",
                            "{{node}}",
                        )
                    ],
                    on_node,
                    Limits(bad=0.9),
                ),
                graph(
                    "Disks",
                    "percentunit",
                    "Of the node itself: images, logs, empty directories.",
                    [
                        Query(
                            f"max by (node, device) (1 - node_filesystem_avail_bytes{{{_DISK}}} / "
                            f"node_filesystem_size_bytes{{{_DISK}}})",
                            "{{node}} {{device}}",
                        )
                    ],
                    on_node,
                    Limits(bad=0.85),
                ),
                graph(
                    "Load of each processor",
                    "none",
                    "Far above 1 for long: more wants to run than there is room for.",
                    [
                        Query(
                            f"node_load1{{{_NODE}}} / on (node) group_left () count by (node) "
                            f'(node_cpu_seconds_total{{mode="idle", {_NODE}}})',
                            "{{node}}",
                        )
                    ],
                    on_node,
                ),
                graph(
                    "Disks at work",
                    "percentunit",
                    "Near 100 %: the disk is what everybody waits for.",
                    [
                        Query(
                            f"max by (node) (rate(node_disk_io_time_seconds_total{{{_NODE}}}[$__rate_interval]))",
                            "{{node}}",
                        )
                    ],
                    on_node,
                ),
                graph(
                    "Network",
                    "Bps",
                    "In and out, of the busiest interface; a plateau is a limit of the machine's.",
                    [
                        Query(
                            f"max by (node) "
                            f"(rate(container_network_receive_bytes_total{{{_MACHINE}}}[$__rate_interval]))",
                            "{{node}} in",
                        ),
                        Query(
                            f"max by (node) "
                            f"(rate(container_network_transmit_bytes_total{{{_MACHINE}}}[$__rate_interval]))",
                            "{{node}} out",
                        ),
                    ],
                    on_node,
                ),
            ],
            "Pods and volumes": [
                graph(
                    "Processors by pod",
                    "none",
                    "Processors in use, the ten busiest pods.",
                    [
                        Query(
                            "topk(10, sum by (namespace, pod) "
                            f'(rate(container_cpu_usage_seconds_total{{container!="", {_NODE}}}[$__rate_interval])))',
                            "{{namespace}}/{{pod}}",
                        )
                    ],
                    [POD_LOGS, POD],
                ),
                graph(
                    "Memory by pod",
                    "bytes",
                    "The ten largest pods. One that grows without end has a leak.",
                    [
                        Query(
                            "topk(10, sum by (namespace, pod) "
                            f'(container_memory_working_set_bytes{{container!="", {_NODE}}}))',
                            "{{namespace}}/{{pod}}",
                        )
                    ],
                    [POD_LOGS, POD],
                ),
                graph(
                    "Volumes",
                    "percentunit",
                    "Red from 90 %: docs/runbooks/full-disk.md.",
                    [
                        Query(
                            "1 - kubelet_volume_stats_available_bytes / kubelet_volume_stats_capacity_bytes",
                            "{{namespace}}/{{persistentvolumeclaim}}",
                        )
                    ],
                    [NAMESPACE_LOGS],
                    Limits(warning=0.8, bad=0.9),
                ),
                graph(
                    "Restarts of containers",
                    "none",
                    "In 15 minutes, by kube-state-metrics. Again and again: a crash loop; its log says why.",
                    [Query("increase(kube_pod_container_status_restarts_total[15m]) > 0", "{{namespace}}/{{pod}}")],
                    [POD_LOGS, POD],
                    Limits(bad=3),
                ),
                graph(
                    "Containers that can't start",
                    "none",
                    "By reason, of kube-state-metrics. ImagePullBackOff: name or registry; see the events.",
                    [
                        Query(
                            "sum by (namespace, pod, reason) (kube_pod_container_status_waiting_reason) > 0",
                            "{{namespace}}/{{pod}} {{reason}}",
                        )
                    ],
                    [POD_LOGS, POD],
                    Limits(bad=1),
                ),
                graph(
                    "Running pods by node",
                    "none",
                    "110 is the usual limit of a node.",
                    [Query(f"kubelet_running_pods{{{_NODE}}}", "{{node}}")],
                    on_node,
                    Limits(bad=100),
                ),
            ],
        },
        [of_prometheus("node", "Node", "kubelet_node_name", "Which nodes.", every=True)],
    )


def pod() -> dict[str, Any]:
    """Return the dashboard of a pod."""
    lines = [POD_LOGS]
    return board(
        "pod",
        "Pod",
        "A pod's processors, memory and network. Log lines lead here, and back.",
        {
            "The pod": [
                graph(
                    "Processors by container",
                    "none",
                    "A flat line at the top: it is throttled, or all that its node has.",
                    [
                        Query(
                            "sum by (namespace, pod, container) "
                            f'(rate(container_cpu_usage_seconds_total{{{_THIS}, container!=""}}[$__rate_interval]))',
                            "{{pod}} {{container}}",
                        )
                    ],
                    lines,
                ),
                graph(
                    "Memory by container",
                    "bytes",
                    "It ends at the limit with an OOM kill.",
                    [
                        Query(
                            "sum by (namespace, pod, container) "
                            f'(container_memory_working_set_bytes{{{_THIS}, container!=""}})',
                            "{{pod}} {{container}}",
                        )
                    ],
                    lines,
                ),
                graph(
                    "Network",
                    "Bps",
                    "Nothing comes in: the Service doesn't know it, or a NetworkPolicy is in the way.",
                    [
                        Query(
                            "sum by (namespace, pod) "
                            f"(rate(container_network_receive_bytes_total{{{_THIS}}}[$__rate_interval]))",
                            "{{pod}} in",
                        ),
                        Query(
                            "sum by (namespace, pod) "
                            f"(rate(container_network_transmit_bytes_total{{{_THIS}}}[$__rate_interval]))",
                            "{{pod}} out",
                        ),
                    ],
                    lines,
                ),
                graph(
                    "Throttled",
                    "percentunit",
                    "The share of periods in which it had to wait: raise the CPU limit, or take it away.",
                    [
                        Query(
                            "sum by (namespace, pod) "
                            f"(rate(container_cpu_cfs_throttled_periods_total{{{_THIS}}}[$__rate_interval])) / "
                            "sum by (namespace, pod) "
                            f"(rate(container_cpu_cfs_periods_total{{{_THIS}}}[$__rate_interval]))",
                            "{{pod}}",
                        )
                    ],
                    lines,
                    Limits(warning=0.25),
                ),
                graph(
                    "Killed for memory",
                    "none",
                    "In 1 h. Any: raise the limit, or mend the leak.",
                    [
                        Query(
                            f"sum by (namespace, pod) (increase(container_oom_events_total{{{_THIS}}}[1h]))", "{{pod}}"
                        )
                    ],
                    lines,
                    Limits(bad=1),
                ),
                graph(
                    "Runs for",
                    "s",
                    "Back to 0: the container was started anew; its log says why.",
                    [
                        Query(
                            f"time() - max by (namespace, pod) (container_start_time_seconds{{{_THIS}, "
                            'container!=""})',
                            "{{pod}}",
                        )
                    ],
                    lines,
                ),
            ],
        },
        [
            of_prometheus("namespace", "Namespace", "container_start_time_seconds", "Where it is.", every=True),
            of_prometheus(
                "pod", "Pod", 'container_start_time_seconds{namespace=~"$namespace"}', "Which one.", every=True
            ),
        ],
    )
