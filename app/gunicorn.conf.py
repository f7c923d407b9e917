"""gunicorn's configuration; environment variables are listed in docs/app.md."""

import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from exchange.environment import Environment, EnvironmentErrors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")
env = Environment(os.environ)
shared_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - gunicorn makes a private file in it

wsgi_app = "exchange.wsgi:application"
host = env.text("HTTP_HOST", "0.0.0.0", pattern=r"[0-9a-fA-F.:]+", allowed="an IP address to listen on")  # noqa: S104
http_port = env.integer("HTTP_PORT", 8000, minimum=1, maximum=65_535)
bind = [f"[{host}]:{http_port}" if ":" in host else f"{host}:{http_port}"]
workers = env.integer("WEB_CONCURRENCY", 2, minimum=1, maximum=64)
threads = env.integer("WEB_THREADS", 4, minimum=1, maximum=64)
worker_class = "gthread"
# Memory is shared, and a wrong setting ends the master at once instead of one worker after the other.
preload_app = True
# A worker that hangs as a whole is replaced after this time; single slow requests end with the statement timeout.
timeout = env.integer("WEB_TIMEOUT_SECONDS", 30, minimum=1, maximum=3_600)
# After SIGTERM requests under way may finish for this long.
graceful_timeout = env.integer("WEB_GRACEFUL_TIMEOUT_SECONDS", 25, minimum=1, maximum=3_600)
# Longer than a proxy keeps idle connections, so that it is never us who close one just as it is used again.
keepalive = env.integer("WEB_KEEPALIVE_SECONDS", 75, minimum=1, maximum=3_600)
# The heartbeat file of a worker must not lie on a disk that can be slow.
worker_tmp_dir = shared_memory
control_socket_disable = True
loglevel = env.choice("LOG_LEVEL", ["DEBUG", "INFO", "WARNING", "ERROR"], "INFO").lower()
accesslog = "-"
logger_class = "operations.gunicorn_logger.StructuredLogger"
# Who may set X-Forwarded-*: the pod can be reached through the ingress alone (network policy), whose address varies.
forwarded_allow_ips = "*"

metrics_port = env.integer("METRICS_PORT", 9090, minimum=0, maximum=65_535)
# Each process writes its metrics to files here; they are removed at start, so it belongs to one server alone.
metrics_folder = Path(
    env.text(
        "PROMETHEUS_MULTIPROC_DIR",
        f"{shared_memory or '/tmp'}/exchange-metrics-{http_port}",  # noqa: S108 - made by us alone, mode 0700
        pattern=r"/.+",
        allowed="an absolute path of a folder whose *.db files may be removed",
    )
)

problems = []
for check in (lambda: settings.DEBUG, env.check):
    try:
        check()
    except (ImproperlyConfigured, EnvironmentErrors) as error:
        problems.append(str(error))
if problems:
    # The messages say it all; a traceback would bury them.
    sys.exit("\n".join(problems))

# prometheus_client decides by this variable, when it is imported, where values are kept.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_folder)
# Files of processes that are gone would be counted again. A reload (SIGHUP) reads this file again: it keeps them.
if os.environ.get("EXCHANGE_METRICS_OWNER") != str(os.getpid()):
    os.environ["EXCHANGE_METRICS_OWNER"] = str(os.getpid())
    metrics_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in metrics_folder.glob("*.db"):
        file.unlink()


def post_worker_init(_worker: Any) -> None:
    """Serve metrics from each worker."""
    if metrics_port:
        from operations import metrics  # noqa: PLC0415 - after PROMETHEUS_MULTIPROC_DIR is set

        metrics.start(host, metrics_port)


def child_exit(_server: Any, worker: Any) -> None:
    """Forget the gauges of a worker that is gone."""
    from prometheus_client import multiprocess  # noqa: PLC0415 - after PROMETHEUS_MULTIPROC_DIR is set

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
