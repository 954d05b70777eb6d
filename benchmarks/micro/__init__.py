"""Parts of the relay by themselves, in this process; each is a program that prints a table."""
