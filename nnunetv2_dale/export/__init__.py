"""A trained model for machines without this package."""
