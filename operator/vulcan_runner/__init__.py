"""What runs inside a Job's pod: SQLMesh in-process, driven by one `Task`, leaving one `Result`.

`python -m vulcan_runner` is the main container: a supervisor, and a worker that it starts.
`python -m vulcan_runner fetch` is the init container that holds the git credential. Knows nothing
of Kubernetes; all paths come from `vulcan_contract.PodEnv`.
"""
