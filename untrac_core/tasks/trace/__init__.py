"""Tracing: which training subsets make a model say this?"""
