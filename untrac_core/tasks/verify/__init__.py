"""Verification: unlearn single texts alone and see whether their scores hold."""
