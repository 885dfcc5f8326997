"""Developer tools of this repository; nothing here is part of the operator or the runner."""
