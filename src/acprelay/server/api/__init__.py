"""The control API, `/api/v1`: what there is in a relay, and what may be done to it, over HTTP."""
