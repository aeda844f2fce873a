"""`nnUNetv2_dale_confidence`: what people know about their labels, checked, made of several readers, preprocessed."""
