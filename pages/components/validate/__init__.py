"""The page Validate, in parts."""
