"""A fuzz run: a real relay is abused over raw sockets, while a witness goes on working with it."""
