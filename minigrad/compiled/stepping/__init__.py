"""Loops over sequences, made of one traced step.

May import the files and folders of `minigrad.compiled` beside it.
"""
