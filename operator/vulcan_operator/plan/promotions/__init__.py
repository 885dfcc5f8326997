"""What is decided about promotions: `planner` walks through the stages of `steps`, one file a step.

Knows nothing of `environments` and `gateways`, nor they of it (import-linter keeps it so): what two
of the three need is beside them.
"""
