"""New Pokemon of a type."""
