"""The operator's command `run`, `explain` or `version`: starts all that a process has, and ends it.

Nothing is decided here but the order: health server, gate, own tasks, Kopf; at the end workers,
Lease, the rest.
"""

import argparse
import asyncio
import contextlib
import datetime as dt
import gc
import importlib.metadata
import logging
import os
import signal
import sys
from collections.abc import Sequence

import kopf

from vulcan_operator import handlers, health, logs, metrics
from vulcan_operator.api import API_VERSION
from vulcan_operator.config import Config, ConfigError
from vulcan_operator.explain import Explainer
from vulcan_operator.files import FileError, Files
from vulcan_operator.kube import errors, resources
from vulcan_operator.kube.access import Access, AccessError
from vulcan_operator.kube.client import HttpKube, Kube
from vulcan_operator.kube.transport import RateLimit, Transport
from vulcan_operator.loop import Operator
from vulcan_operator.metrics_access import MetricsAccess
from vulcan_operator.plan.core.seen import Settings
from vulcan_operator.reconcile.reconcile import Planners

_log = logging.getLogger(__name__)
_GATE_PAUSE = 1.0
_NOT_SERVED = "the API server does not serve {}: install the CRDs (kubectl apply -f crds/)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name; return its exit code."""
    chosen = _parser().parse_args(arguments)
    if chosen.command == "version":
        sys.stdout.write(version() + "\n")
        return 0
    try:
        if chosen.command == "explain":
            return _explain(chosen)
        config = Config.from_env(os.environ, kubeconfig=chosen.kubeconfig, context=chosen.context)
        logs.setup(config.log_level)
        gc.freeze()  # what was imported stays, and so do thousands of objects in the cache
        gc.set_threshold(20_000, 20, 20)
        return asyncio.run(serve(config, Planners()))
    except (ConfigError, AccessError, FileError) as error:
        sys.stderr.write(f"vulcan-operator: {error}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    about = "Runs SQLMesh in Kubernetes Jobs."
    parser = argparse.ArgumentParser(prog="vulcan-operator", description=about)
    commands = parser.add_subparsers(dest="command", required=True)
    about = "serve the cluster until SIGTERM; settings come from VULCAN_… variables"
    run = commands.add_parser("run", help=about)
    about = "kubeconfig file; default: in-cluster, else KUBECONFIG"
    run.add_argument("--kubeconfig", default="", help=about)
    run.add_argument("--context", default="", help="context of the kubeconfig")
    about = "print what would be done about objects in files; contacts no server"
    what = commands.add_parser("explain", help=about)
    about = "YAML file, or - for standard input"
    what.add_argument("-f", "--filename", action="append", required=True, help=about)
    about = "time to plan for, for example 2026-11-22T10:00:00Z; default: now"
    what.add_argument("--now", type=_moment, help=about)
    what.add_argument("--manifests", action="store_true", help="print Jobs and ConfigMaps in full")
    commands.add_parser("version", help="print the version")
    return parser


def _moment(text: str) -> dt.datetime:
    with contextlib.suppress(ValueError):
        moment = dt.datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(dt.UTC)
    problem = f"{text!r} is not a time with a zone, such as 2026-11-22T10:00:00Z"
    raise argparse.ArgumentTypeError(problem)


def _explain(chosen: argparse.Namespace) -> int:
    """Print the plans for the named files. Raises ConfigError or FileError."""
    config = Config.from_env(os.environ)
    settings = Settings(config.install, "cluster", config.runner_image, config.account)
    now = chosen.now or dt.datetime.now(dt.UTC)
    files = Files.read(chosen.filename, sys.stdin)
    lines = Explainer(files, settings, now, chosen.manifests).lines()
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def version() -> str:
    """Return the version of the installed distribution."""
    try:
        return importlib.metadata.version("vulcan-operator")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


async def serve(config: Config, planners: Planners) -> int:
    """Run until told to stop. Return 0 after SIGTERM, 1 when Kopf ended or etcd was restored."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = health.HealthServer(config.health_host, config.health_port)
    if config.metrics_access == "anyone":
        server.review = health.anyone
    await server.start()
    beat = asyncio.create_task(server.heart.beat())
    not_yet = server.ready
    not_yet.append(waiting := lambda: "waiting for the API server and the CRDs")
    access = Access(config.kubeconfig or None, config.context or None)
    transport = Transport(access, metrics.api_request)
    try:
        await transport.open()
        limit = RateLimit(config.write_rate, 2 * config.write_rate)
        kube = HttpKube(transport, write_timeout=config.write_timeout, limit=limit)
        if config.metrics_access == "authorized":
            # Standbys are asked, too: a review stores nothing, so that no fence is needed.
            server.review = MetricsAccess(kube.unfenced(config.write_timeout)).refusal
        gate = asyncio.create_task(pass_gate(kube))
        if not await _first(gate, stop):
            return 0
        operator = Operator(config, kube, planners, cluster=gate.result())
        operator.add_checks(server)
        ports = operator.parts.ports
        objects = metrics.ObjectCollector(ports.cache, ports.clock.now, operator.elector.holds)
        metrics.REGISTRY.register(objects)
        not_yet.remove(waiting)
        return await _run(operator, access, server, stop)
    finally:
        beat.cancel()
        await transport.close()
        await server.stop()


async def pass_gate(kube: Kube) -> str:
    """Wait until the CRDs are served, which Kopf does not do; return the cluster's id."""
    said = ""
    while True:
        try:
            served = (await kube.read(f"/apis/{API_VERSION}")).get("resources", [])
            missing = {r.plural for r in resources.CUSTOM.values()} - {r["name"] for r in served}
            if not missing:
                system = await kube.get(resources.NAMESPACES, "", "kube-system")
                return str(system["metadata"]["uid"])
            problem = _NOT_SERVED.format(", ".join(sorted(missing)))
        except errors.NotFound:
            problem = _NOT_SERVED.format(API_VERSION)
        except errors.KubeError as error:
            problem = error.message
        if problem != said:
            _log.warning("waiting: %s", problem)
            said = problem
        await asyncio.sleep(_GATE_PAUSE)


async def _run(
    operator: Operator, access: Access, server: health.HealthServer, stop: asyncio.Event
) -> int:
    await operator.start()
    registry, settings = handlers.registry(operator, access), handlers.settings()
    watches = kopf.operator(registry=registry, settings=settings, clusterwide=True, stop_flag=stop)
    watching = asyncio.create_task(watches)
    server.live.append(lambda: "Kopf has ended" if watching.done() else None)
    restored = operator.parts.resync.restored
    ends = [asyncio.create_task(event.wait()) for event in (operator.stopped, restored)]
    await asyncio.wait((watching, *ends), return_when=asyncio.FIRST_COMPLETED)
    asked = stop.is_set() or not watching.done()
    await operator.stop()
    if not watching.done():
        watching.cancel()  # Kopf would wait five seconds for tasks that have nothing to do
        await asyncio.wait((watching,), timeout=0.5)
    if restored.is_set():
        return 1
    if not asked and watching.done() and not watching.cancelled() and watching.exception():
        _log.error("Kopf ended: %s", watching.exception())
        return 1
    return 0


async def _first(task: "asyncio.Task[str]", stop: asyncio.Event) -> bool:
    """Tell whether the task ended before the stop."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not task.done():
        task.cancel()
        return False
    return True
