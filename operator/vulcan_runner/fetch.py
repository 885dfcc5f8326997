"""Init container `fetch`: gets a git source without letting the credential or the repository do
anything else.

Started by `__main__ fetch`; the only place that has a git credential. Git gets it in files (never
in argv, URL, environment or log). No hooks, no submodules, no protocol but the URL's. Leaves the
project in `$VULCAN_PROJECT`, exactly the files that the digest covers, and what else is known of it
in `$VULCAN_WORK/fetch.json`. Must not import SQLMesh.
"""

import json
import os
import re
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vulcan_contract.reasons import Reason
from vulcan_contract.task import Source
from vulcan_runner import project, unfetched
from vulcan_runner.git import Git
from vulcan_runner.lines import Lines
from vulcan_runner.pod import Pod
from vulcan_runner.problem import Problem
from vulcan_runner.source_size import SourceSize, bounded_files

FETCHED = "fetch.json"
_MTIME = 946_684_800  # SQLMesh's model cache keys on mtimes: the same content must look the same
_SCP_LIKE = re.compile(r"^[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:(?!//)")
# What the CRD refuses, too: a user, a host or a path of user@host:path that looks like an option.
_DASHED = re.compile(r"([a-z]+://)?([^/]*@)?-|[^/:]+:-")
_COMMIT = re.compile(r"^[0-9a-f]{40}([0-9a-f]{24})?$")
_SCHEMES = ("https", "http", "ssh", "file")


@dataclass(frozen=True)
class Fetched:
    """What is known of a fetched project besides its files."""

    commit: str
    submodules: list[str]  # that are in it, by their paths in the project; none is fetched


def fetch(source: Source, pod: Pod, lines: Lines) -> str:
    """Fetches the source and returns the commit."""
    scheme = _scheme(source.url)
    writable = os.environ.get("TMPDIR") or str(pod.work)
    with bounded_files(), tempfile.TemporaryDirectory(prefix="fetch-", dir=writable) as folder:
        git = Git(Path(folder), source.url, scheme, pod.git_credentials)
        commit = _get(git, source, lines)
        submodules = _submodules(git, commit)
        git.checkout(commit)
        tree = project.within(git.tree, source.path)
        shutil.rmtree(git.tree / ".git")
        unfetched.require_outside(tree, submodules)
        if not tree.is_dir():
            message = f"Commit {commit[:12]} has no folder {source.path}."
            raise Problem(Reason.SOURCE_PATH_MISSING, message)
        entries = _entries(tree)
        below = unfetched.submodules_among(entries, submodules)
        count = _hand_over([e for e in entries if e[1].is_file()], pod.project)
    (pod.work / FETCHED).write_text(json.dumps(asdict(Fetched(commit, below))))
    lines.say(f"Fetched {count} files of commit {commit[:12]}", commit=commit, files=count)
    return commit


def fetched(pod: Pod) -> Fetched | None:
    """What `fetch` wrote, for the main container."""
    path = pod.work / FETCHED
    return Fetched(**json.loads(path.read_text())) if path.is_file() else None


def _get(git: Git, source: Source, lines: Lines) -> str:
    """Fetches and returns the commit; checks nothing out."""
    wanted = source.commit or source.ref or "HEAD"
    lines.say(f"Fetching {wanted} of {source.url}")
    refs = git.remote_refs()
    if _COMMIT.match(wanted):
        return _get_commit(git, wanted, refs)
    names = (wanted, f"refs/heads/{wanted}", f"refs/tags/{wanted}")
    name = next((n for n in names if n in refs), None)
    if name is None:
        raise Problem(Reason.SOURCE_REF_MISSING, f"The repository has no branch or tag {wanted}.")
    git.fetch(name)
    return git.commit("FETCH_HEAD")


def _get_commit(git: Git, commit: str, refs: dict[str, str]) -> str:
    """A server may refuse a bare commit; then a ref that points to it is fetched, or everything."""
    at_it = [name for name, sha in refs.items() if sha == commit and not name.endswith("^{}")]
    if git.try_fetch(at_it[0] if at_it else commit) and git.has("FETCH_HEAD", commit):
        return commit
    git.fetch_everything()
    if not git.exists(commit):
        raise Problem(Reason.SOURCE_REF_MISSING, f"The repository has no commit {commit}.")
    return commit


def _submodules(git: Git, commit: str) -> list[Path]:
    """Where the submodules will be; raises SourceTooLarge."""
    size, found = SourceSize(), []
    for entry in git.entries(commit):
        size.add(entry.size)
        if entry.is_submodule:
            found.append(git.tree / entry.path)
    return found


def _scheme(url: str) -> str:
    if _DASHED.match(url):
        message = "No part of the URL may begin with a dash: neither user, host nor path."
        raise Problem(Reason.SOURCE_UNREACHABLE, message)
    if _SCP_LIKE.match(url):
        return "ssh"
    try:
        parts = urlsplit(url)
    except ValueError as error:
        message = f"The URL cannot be read ({error}); correct project.git.url."
        raise Problem(Reason.SOURCE_UNREACHABLE, message) from None
    if parts.scheme not in _SCHEMES:
        message = f"The URL must start with one of {', '.join(_SCHEMES)}."
        raise Problem(Reason.SOURCE_UNREACHABLE, message)
    if parts.password is not None:
        advice = "put it into a Secret and name that in the gateway's gitCredentials"
        raise Problem(Reason.SOURCE_AUTH_FAILED, f"The URL holds a password; {advice}.")
    return parts.scheme


def _entries(tree: Path) -> list[tuple[str, Path]]:
    """Files and folders with links resolved, counted again: a few links can stand for any number.
    Raises SourceTooLarge."""
    size, found = SourceSize(), []
    for path, entry in project.entries(tree):
        size.add(entry.stat().st_size if entry.is_file() else 0)
        found.append((path, entry))
    return found


def _hand_over(files: list[tuple[str, Path]], target: Path) -> int:
    """Copies the files into the target, which is a mount and may hold files of a former attempt.

    Copies nothing that `project` leaves out, with links resolved: what is not in the digest could
    be anything.
    """
    target.mkdir(parents=True, exist_ok=True)
    for old in target.iterdir():
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
    for path, file in files:
        place = target / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    for folder, folders, names in os.walk(target, topdown=False):
        for name in (*names, *folders):
            os.utime(os.path.join(folder, name), (_MTIME, _MTIME), follow_symlinks=False)
    os.utime(target, (_MTIME, _MTIME))
    return len(files)
