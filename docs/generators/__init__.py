"""Generators of pages: each module turns a part of the code into the Markdown of one page."""
