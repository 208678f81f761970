"""What is known of perturbed genes beside the screen: gene sets, embeddings, graphs."""
