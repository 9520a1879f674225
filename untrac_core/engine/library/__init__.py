"""The library: models, prompt sets and subsets that a user has kept."""
