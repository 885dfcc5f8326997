"""What is decided about environments. `planner` asks `preconditions` whether anything may start,
then each of the `steps` whether its task is wanted."""
