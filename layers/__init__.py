"""Layers for modelling sequences, built on minigrad."""
