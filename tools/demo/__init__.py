"""`make demo`: from kubectl apply to data in two warehouses, on a real API server, narrated."""
