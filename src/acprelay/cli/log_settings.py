"""What can be said of the log of a relay, before anything is logged; it knows no logger."""

FORMATS = ("console", "json")
"""Lines for people, or a JSON object a line."""

LEVELS = ("debug", "info", "warning", "error")
"""From which on lines are written."""

DEFAULT_FORMAT = "console"
DEFAULT_LEVEL = "warning"
