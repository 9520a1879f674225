"""Removal: take the effect of some texts out of a model and keep the rest. One method a file."""
