"""`nnUNetv2_dale_report`: result folders of nnU-Net compared by paired statistics, cost and plots, on one page."""
