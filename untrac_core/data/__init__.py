"""Records in: files, prompt sets, training subsets, and the tokens that a model sees."""
