"""A task's life: its writer slot, its Job as a manifest, what became of it, what stays of it. Pure."""
