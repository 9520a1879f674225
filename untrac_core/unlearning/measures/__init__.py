"""How well a model forgot: measures of numbers that others took, one family a module, free of torch."""
