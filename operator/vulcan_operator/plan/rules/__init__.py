"""Rules that several planners apply: grants, approvals, schedules, windows, holds. Pure."""
