"""Agreement of every method with retraining, on real text."""
