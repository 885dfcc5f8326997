"""What is decided about promotions. `planner` walks the stages of `stages`; the other modules are what it asks.

Knows nothing of `environments` and `gateways`, nor they of it (import-linter keeps it so): what two of the three need is
beside them.
"""
