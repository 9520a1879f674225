"""The hub: commits, files and cards of models and data sets; model files on the disk, read without torch."""
