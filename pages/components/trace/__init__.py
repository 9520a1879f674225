"""The form of a new trace."""
