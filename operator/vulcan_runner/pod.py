"""Pod: the folders and files of a Job's pod, read once from its environment by `__main__` and by
`worker`. The termination message is not among them: the worker has no business with it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vulcan_contract import PodEnv


@dataclass(frozen=True)
class Pod:
    """Where things are; nothing is created here."""

    secrets: Path
    project: Path
    work: Path
    git_credentials: Path
    checks: Path
    soda_python: Path

    @classmethod
    def of(cls, env: Mapping[str, str] = os.environ) -> "Pod":
        """Defaults are the paths of the runner image, for people who start it by hand."""
        return cls(
            secrets=Path(env.get(PodEnv.SECRETS, "/var/run/vulcan/secrets")),
            project=Path(env.get(PodEnv.PROJECT, "/project")),
            work=Path(env.get(PodEnv.WORK, "/work")),
            git_credentials=Path(env.get(PodEnv.GIT_CREDENTIALS, "/var/run/vulcan/git")),
            checks=Path(env.get(PodEnv.CHECKS, "/checks")),
            soda_python=Path(env.get(PodEnv.SODA_PYTHON, "/opt/soda/bin/python")),
        )
