"""The page Compare, in parts."""
