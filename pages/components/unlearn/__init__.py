"""The page Unlearn, in parts."""
