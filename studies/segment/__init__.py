"""An image cut into parts."""
