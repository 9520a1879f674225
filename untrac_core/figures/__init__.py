"""Plotly figures, each from a data frame."""
