"""Head-to-heads, with their results and how to rerun them."""
