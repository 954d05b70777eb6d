"""Files and terminals that the relay serves to agents, confined to a session's directory."""
