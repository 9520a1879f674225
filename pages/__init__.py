"""The pages of the dashboard; each is one file that reads the core, draws, and launches runs."""
