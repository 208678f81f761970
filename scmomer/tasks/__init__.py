"""What is done with a trained model, a folder for each task."""
