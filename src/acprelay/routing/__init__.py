"""What goes where: pure rules over values, without a socket, a clock or a process."""
