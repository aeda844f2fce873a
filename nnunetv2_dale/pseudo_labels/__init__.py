"""`nnUNetv2_dale_pseudo_labels`: images without labels become training cases, as far as trained folds judge them."""
