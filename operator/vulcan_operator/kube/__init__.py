"""Everything that talks to the API server, and the views of what it says. Decisions live in `plan`."""
