"""Entry of `make demo`. KEEP=1 leaves it running, ENGINE=duckdb uses files, CLUSTER=current your own cluster."""

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path

from tools.demo.narrator import DemoError, Narrator
from tools.demo.scene import NONPROD, PROD
from tools.demo.story import ENGINES, Story
from tools.localcluster import build, lifecycle, processes
from tools.localcluster.cluster import Cluster, ClusterError, current_cluster
from tools.stand.postgres import PostgresError
from tools.stand.stand import ROOT, Stand, StandError

_EXPECTED = (
    DemoError, ClusterError, StandError, PostgresError, build.BuildError, lifecycle.StartError, processes.LaunchError,
)  # fmt: skip


def main() -> int:
    """Play the story; whatever happens, clean up unless KEEP=1 and it went well."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__)
    parser.add_argument(
        "--root", type=Path, default=ROOT, help="folder for the cluster's data (default: this checkout)"
    )
    root = parser.parse_args().root
    narrator = Narrator()
    engine, keep = os.environ.get("ENGINE") or "postgres", bool(os.environ.get("KEEP"))
    if engine not in ENGINES or (engine == "duckdb" and current_cluster()):
        print(f"ENGINE={engine}: use postgres, or duckdb on the local cluster", file=sys.stderr)
        return 2
    stand = Stand(root, say=narrator.say)
    if stand.in_use():
        print(
            "A local cluster is running here (make up, or a demo with KEEP=1); `make down` ends it first.",
            file=sys.stderr,
        )
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    stand.down()  # what a demo that was killed left behind
    code = 1
    try:
        Story(stand, narrator, engine).play()
        code = 0
        if os.environ.get("PICTURE"):
            narrator.save_picture(os.environ["PICTURE"])
    except _EXPECTED as error:
        narrator.say(f"[bold red]The demo stopped:[/] {error}")
        _tell_logs(stand, narrator)
    except KeyboardInterrupt:
        narrator.say("\nInterrupted; cleaning up.")
        code = 130
    finally:
        if keep and code == 0:
            _next(narrator, stand)
        else:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a second Ctrl-C must not leave half of it
                signal.signal(number, signal.SIG_IGN)
            stand.down()
            left = "; CRDs, roles, policies and vulcan-system stay installed" if current_cluster() else ""
            with contextlib.suppress(OSError):  # nobody reads any more: the terminal was closed
                narrator.say(f"Everything is cleaned up{left}. [dim]{narrator.seconds():.0f} s[/]")
    return code


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _tell_logs(stand: Stand, narrator: Narrator) -> None:
    for log in sorted(stand.cluster.logs.glob("operator-*.log")):
        narrator.show("\n".join(log.read_text().splitlines()[-15:]))


def _next(narrator: Narrator, stand: Stand) -> None:
    narrator.act("It is yours: everything is left running")
    path = ""
    if isinstance(stand.cluster, Cluster):
        path = f"export KUBECONFIG=$PWD/.local/kubeconfig PATH={stand.cluster.kubectl_path.parent}:$PATH\n"
    narrator.show(
        f"{path}"
        "kubectl get vulcangateways,vulcanenvironments,vulcanpromotions -A -o wide\n"
        f"kubectl describe vulcanenvironment prod -n {PROD}\n"
        f"kubectl get events -n {NONPROD} --sort-by=.metadata.creationTimestamp\n"
        f"kubectl logs -n {NONPROD} -l vulcan.dev/task=apply --tail=50\n"
        "kubectl explain vulcanenvironment.spec.plan\n"
        "make down        # ends it and leaves nothing behind",
        "bold cyan",
    )


if __name__ == "__main__":
    sys.exit(main())
