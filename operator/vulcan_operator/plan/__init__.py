"""Pure decisions: what was seen and the time go in, a Plan comes out.

No clock, no I/O, no logging, no async, no Kopf and no client here (import-linter keeps it so).
"""
