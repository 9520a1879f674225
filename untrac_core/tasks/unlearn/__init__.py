"""Unlearning: take texts out of a model and measure what that did."""
