"""Result folders: reading, the environment of a run, and exports."""
