"""Surface proteins: a perceptron on centred log ratios."""
