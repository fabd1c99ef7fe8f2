"""Is policy B better than policy A, or one of them than a threshold; answered while one looks."""
