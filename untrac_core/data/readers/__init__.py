"""Readers: rows out of files of every supported format."""
