"""The bench: what `make bench` measures, against the goals that were set. One module per group of figures."""
