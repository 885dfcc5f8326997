"""Records what an operator leaves to the one that follows: `python -m tests.upgrade.record`.

The recording in `objects/` was made with the operator of commit 0495252; `test_upgrade` starts the
operator of today on it. To make another one, check out the commit whose objects are to be recorded,
run this (it replaces all files), write that commit here, and commit both. Recording again with
changed code to make the test pass defeats the test: nobody records the objects of users again.
"""

import json

from tests.upgrade import life_of_environments, life_of_promotions, recording
from tests.upgrade.playing import play
from tests.upgrade.telling import LIVES

FOLLOWED = (life_of_environments, life_of_promotions)
"""Importing them has registered their lives."""


def main() -> None:
    """Tell every life, and store its moments."""
    for path in recording.FOLDER.glob("*.json"):
        path.unlink()
    known: dict[str, recording.Raw] = {}
    for life in LIVES:
        for name, sqlmesh in life():
            assert name not in known, f"{name} twice"
            whole = json.loads(json.dumps(recording.snapshot(sqlmesh)))
            recording.write(name, whole, play(recording.start(whole)), known)
            known[name] = whole


if __name__ == "__main__":
    main()
