"""What every page has: frame, labels, errors, run cards, downloads."""
