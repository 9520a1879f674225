"""Unlearning: remove the effect of some texts from a model and keep the rest. One file per method."""
