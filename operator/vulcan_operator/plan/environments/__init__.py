"""What is decided about environments. `planner` asks `preconditions` whether anything may start, then `wants` what."""
