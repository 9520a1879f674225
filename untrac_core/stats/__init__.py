"""Intervals, agreement between rankings, the bootstrap, and what leaving a subset out does to a mixture."""
