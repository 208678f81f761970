"""Peaks: ViT over genomic patches, or a perceptron."""
