"""Talks to the API server: credentials, requests, errors, events. Knows no rules about objects."""
