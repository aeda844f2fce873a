"""DK-UXNet: training on labelled and unlabelled cases together (arXiv 2311.12364). Torch only."""
