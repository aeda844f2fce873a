"""What every command shares: errors of one sentence, worker processes."""
