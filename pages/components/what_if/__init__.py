"""The page What if, in parts."""
