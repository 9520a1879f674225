"""Unlearning methods, one per file."""
