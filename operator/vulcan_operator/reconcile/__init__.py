"""Reconciles one object in one pass: observe, plan, read what is needed, write the status, execute.

Called by `worker`. Decisions are made in `plan`; requests go through `kube`.
"""
