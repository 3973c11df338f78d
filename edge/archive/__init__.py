"""One HDF5 file and one picture per bag."""
