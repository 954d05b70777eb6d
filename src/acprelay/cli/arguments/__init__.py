"""What can be typed after `acprelay`, a module for each command: options and help, no more."""
