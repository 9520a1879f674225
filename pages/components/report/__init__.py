"""The page Report, in parts."""
