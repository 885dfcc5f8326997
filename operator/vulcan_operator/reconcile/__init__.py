"""One pass over one object: observe, plan, read what the plan needs, execute, write the status.

Called by `loop`. Decisions are those of `plan`; requests go through `kube`.
"""
