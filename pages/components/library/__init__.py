"""Forms and lists of the library pages."""
