"""What Parley is compared with."""
