"""`python -m tools.stand`: ends the default cluster with everything that was started on it. Called by `make down`."""

import sys

from tools.localcluster.cluster import current_cluster
from tools.stand.stand import Stand


def main() -> int:
    """Nothing to do with CLUSTER=current: that cluster is not ours."""
    if current_cluster():
        print("CLUSTER=current: your kubeconfig's cluster is left as it is")
        return 0
    Stand().down()
    print("everything is down, its data is deleted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
