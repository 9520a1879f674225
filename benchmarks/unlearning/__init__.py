"""How near every unlearning method comes to a model that never saw the texts."""
