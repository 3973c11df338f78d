"""The GPU back end: the entry points of ``kernels/cuda/*.cu`` compiled by CuPy.

No machine of this project has a GPU: this module has never run on one. What was checked instead is in
docs/kernels.md.
"""
