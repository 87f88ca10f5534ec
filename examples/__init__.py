"""Examples: applications written for no particular server."""
