"""What a validation can ask beside leave-one-out, each off unless it is asked for: halves, pairs, controls, choices."""
