"""Git worktrees: one for each role that wants its own, made, compared, merged and removed."""
