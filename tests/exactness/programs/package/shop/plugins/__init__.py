"""Optional parts, named in the settings."""
