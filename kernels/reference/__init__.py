"""Float64 NumPy versions of every kernel: slow, plain, and the truth that the compiled ones are tested against."""
