"""Runs, renders and publishes the notebooks; the Makefile calls it, no notebook imports it."""
