"""A real Kubernetes control plane on this machine, without containers, root or downloads of binaries.

For developers, demonstrations and tests: `python -m tools.localcluster up`, or `cluster.Cluster` from Python.
Imports nothing here on purpose: the small processes that hold pods start through this package and must start fast.
"""
