"""Networks that see nothing but themselves: a network namespace of Linux with a loopback, for pods and servers in it.

Used by the node (a pod's annotation `localcluster/network` names the one it is in) and by tests that need two systems
which cannot reach each other. Needs root. Must not route anything anywhere.
"""

import subprocess

ANNOTATION = "localcluster/network"


def add(name: str) -> None:
    """Make one; what is left of an earlier one of this name goes first."""
    remove(name)
    _ip("netns", "add", name)
    _ip("-n", name, "link", "set", "lo", "up")


def remove(name: str) -> None:
    """Take it away; processes in it keep it until they end."""
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def inside(name: str) -> list[str]:
    """What to put before a command so that it runs in there."""
    return ["nsenter", f"--net=/run/netns/{name}", "--"]


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
