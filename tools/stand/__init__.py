"""A complete stand: local cluster, CRDs, RBAC, policies, the operator under its own account, PostgreSQL servers.

Used by the demo, the integration tests and the bench, so that all three run the operator exactly as it is deployed.
"""
