"""What all planners share: what was seen, what may be answered and done, conditions. Pure."""
