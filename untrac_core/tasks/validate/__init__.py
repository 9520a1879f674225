"""Validation: retrain without each subset and compare every method with what that shows."""
