"""Tasks on a trained model, one folder each."""
