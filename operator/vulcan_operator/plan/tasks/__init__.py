"""A task's life: its writer slot, its Job, what became of it, what stays of it. Pure."""
