"""What is decided about gateways. `planner` decides about probes; `preempt` about who must leave
the writer slot."""
