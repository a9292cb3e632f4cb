"""All parameters in one pass of native code: updates, sums of squares, and gradients scaled."""
