"""Directions, neurons and interventions: tensors in, tensors out."""
