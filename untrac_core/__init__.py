"""Untrac: which of a language model's training subsets make it say this, and how sure are we?"""

__version__ = "0.1.0"
