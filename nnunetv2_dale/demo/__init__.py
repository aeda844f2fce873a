"""The whole way in a few minutes: a phantom dataset, nnU-Net's commands on it, plain and with DALE, and a report."""
