"""Git worktrees: one for each role, on a branch of its own, outside the project's tree."""
