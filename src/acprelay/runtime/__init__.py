"""The shell around the routing rules: one driver per session, one connection per client."""
