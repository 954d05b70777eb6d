"""The relay's HTTP application."""
