"""Genes: Performer over expression tokens, or a perceptron."""
