"""Keeps what is known of the cluster: objects as last seen, their facts, who is woken by a change.

Filled by events, answers to own writes and lists; read by `reconcile`, `collect`, `guard` and the
metrics. Makes no request and decides nothing about objects.
"""
