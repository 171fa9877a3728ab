"""New Pokemon of a requested type."""
