"""System checks: combinations of settings that start but do not serve."""
