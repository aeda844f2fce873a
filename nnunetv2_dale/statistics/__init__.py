"""What is usual among many cases."""
