"""Entry of `make demo`. KEEP=1 leaves it running, ENGINE=duckdb uses files, CLUSTER=current your own cluster."""

import argparse
import os
import signal
import sys
from pathlib import Path

from tools.demo.narrator import DemoError, Narrator
from tools.demo.story import NONPROD, PROD, Story
from tools.localcluster import build, lifecycle, processes
from tools.localcluster.cluster import ClusterError
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
    stand = Stand(root, say=narrator.say)
    signal.signal(signal.SIGTERM, _interrupt)
    stand.down()  # what an earlier demo left behind
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
            _next(narrator)
        else:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it
            stand.down()
            narrator.say(f"Everything is cleaned up. [dim]{narrator.seconds():.0f} s[/]")
    return code


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _tell_logs(stand: Stand, narrator: Narrator) -> None:
    for log in sorted(stand.cluster.logs.glob("operator-*.log")):
        narrator.show("\n".join(log.read_text().splitlines()[-15:]))


def _next(narrator: Narrator) -> None:
    narrator.act("It is yours: everything is left running")
    narrator.show(
        "export KUBECONFIG=$PWD/.local/kubeconfig\n"
        "kubectl get vulcangateways,vulcanenvironments -A -o wide\n"
        f"kubectl describe vulcanenvironment prod -n {PROD}\n"
        f"kubectl get events -n {NONPROD} --sort-by=.lastTimestamp\n"
        f"kubectl logs -n {NONPROD} -l vulcan.dev/task=apply --tail=50\n"
        "kubectl explain vulcanenvironment.spec.plan\n"
        "make down        # ends it and leaves nothing behind",
        "bold cyan",
    )


if __name__ == "__main__":
    sys.exit(main())
