"""`nnUNetv2_dale_audit`: which labels are wrong, where and how, by networks that have not seen them."""
