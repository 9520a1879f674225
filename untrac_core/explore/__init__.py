"""Results as objects, for notebooks and pages."""
