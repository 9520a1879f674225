"""Training from a recipe, retraining without some texts, and the preconditioner of the steps."""
