"""What it gives a training to know of its labels what people know."""
