"""How well a model forgot: metrics of numbers that others took, one family a module, free of torch."""
