"""What replenishment reads: files of terms and of stock positions."""
