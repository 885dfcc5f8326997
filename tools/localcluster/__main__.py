"""Command line: `python -m tools.localcluster build|up|down|stop|status`.

For developers and demonstrations. Must not contain behaviour that `cluster.Cluster` lacks.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from tools.localcluster import adminapi, build, cluster, images, lifecycle, processes

_CURRENT = "CLUSTER=current: your kubeconfig's current cluster is used as it is"


_EXPECTED = (cluster.ClusterError, build.BuildError, lifecycle.StartError, processes.LaunchError, adminapi.AdminError)


def main(arguments: list[str]) -> int:
    """Run one command; errors a user can act on end in one line, not in a traceback."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if cluster.current_cluster():
            return _current(options.command)
        return _run(options)
    except _EXPECTED as error:
        print(f"localcluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("localcluster: interrupted; what was started has been ended", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.localcluster", description=cluster.__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command, text in (
        ("build", "build the programs, unless they are in the cache"),
        ("up", "start the cluster (again): nothing happens to what runs"),
        ("down", "end every process and delete the cluster's data"),
        ("stop", "end every process, keep the data; `up` resumes"),
        ("status", "one line per component; exit code 1 if one does not run"),
    ):
        sub = commands.add_parser(command, help=text, description=text)
        sub.add_argument("--name", default="default", help="for several clusters side by side")
        sub.add_argument("--root", type=Path, default=Path.cwd(), help="folder in which .local/ lies (default: here)")
        if command == "up":
            sub.add_argument(
                "--image",
                action="append",
                default=[],
                metavar="NAME=ENVIRONMENT",
                help="an image and the Python environment that stands for it; replaces earlier ones",
            )
            sub.add_argument(
                "--variable",
                action="append",
                default=[],
                metavar="NAME=TEXT",
                help="an environment variable that the images set",
            )
    return parser


def _run(options: argparse.Namespace) -> int:
    variables = dict(text.split("=", 1) for text in getattr(options, "variable", []) if "=" in text)
    found = dict(_image(text) for text in getattr(options, "image", []))
    declared = {name: images.Image(env, variables=variables) for name, env in found.items()} or None
    subject = cluster.Cluster(options.root, options.name, images=declared, say=lambda text: print(text, flush=True))
    began = time.monotonic()
    match options.command:
        case "build":
            print(f"control plane: {build.ensure(lambda text: print(text, flush=True))}")
        case "up":
            subject.up()
            print(f"cluster {subject.name} is up after {time.monotonic() - began:.1f} s: {subject.server}")
            print(f"  export KUBECONFIG={_shown_kubeconfig(subject)}   # contexts admin, alice, bob")
            print(f"  kubectl: {subject.kubectl_path}")
        case "down":
            subject.down()
            print(f"cluster {subject.name} is down, its data is deleted")
        case "stop":
            subject.stop()
            print(f"cluster {subject.name} is stopped, its data is kept in {subject.state}")
        case "status":
            return _status(subject)
    return 0


def _status(subject: cluster.Cluster) -> int:
    lines = subject.status()
    for line in lines:
        state = f"running   pid {line.process.pid:<8} 127.0.0.1:{line.port}" if line.process else "not running"
        print(f"{line.name:<25} {state}")
    running = all(line.process for line in lines)
    print(f"{'kubeconfig':<25} {_shown_kubeconfig(subject)}" if running else f"logs: {subject.logs}")
    return 0 if running else 1


def _shown_kubeconfig(subject: cluster.Cluster) -> Path:
    return subject.root / ".local" / "kubeconfig" if subject.name == "default" else subject.kubeconfig


def _image(text: str) -> tuple[str, str]:
    name, separator, environment = text.rpartition("=")
    if not separator or not Path(environment).is_dir():
        raise cluster.ClusterError(f"--image {text}: expected NAME=FOLDER of a Python environment")
    return name, str(Path(environment).resolve())


def _current(command: str) -> int:
    """With somebody else's cluster there is nothing to start or end; only say which one it is."""
    from kubernetes import client, config

    try:
        context = config.list_kube_config_contexts()[1]
        config.load_kube_config()
        version = client.VersionApi().get_code().git_version
    except (config.ConfigException, client.ApiException, OSError) as error:
        print(f"{_CURRENT}, but it cannot be used: {error}", file=sys.stderr)
        return 1
    where = os.environ.get("KUBECONFIG", "~/.kube/config")
    print(f"{_CURRENT}: context {context['name']} of {where}, Kubernetes {version}")
    if command != "status":
        print(f"{command}: nothing to do; its pods run in real containers, so it needs real images")
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
