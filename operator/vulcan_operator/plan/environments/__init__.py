"""What is decided about environments. `planner` asks `gates` whether anything may start, then `wants` what."""
