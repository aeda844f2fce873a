"""Public datasets to nnU-Net raw datasets: what the recipes in `preprocessing` are made of."""
