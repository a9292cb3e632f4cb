"""The systems people ask for, built from the layers: models to be read from top to bottom."""
