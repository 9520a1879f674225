"""Tests, one folder for each package of the core; ``helpers`` has what they share."""
