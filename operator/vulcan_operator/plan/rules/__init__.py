"""Rules that more than one planner applies: grants, approvals, schedules, windows, held revisions. Pure."""
