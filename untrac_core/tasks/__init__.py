"""One package for each kind of run: its check, its task, and the tables that it writes."""
