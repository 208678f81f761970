"""Tables of users: responses, synergies, names, units, thresholds, splits."""
