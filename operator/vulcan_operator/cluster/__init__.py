"""What is known of the cluster: objects as they were last seen, what concerns others, who is woken.

Filled by events, answers to own writes and lists; read by `reconcile`, `collect`, `guard` and metrics.
Makes no request and decides nothing about objects.
"""
