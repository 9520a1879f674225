"""What-if against retraining on other mixes of the demo."""
