"""Influence, Examples and the presentation, in parts."""
