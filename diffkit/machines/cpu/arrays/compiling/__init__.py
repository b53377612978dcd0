"""Parts of an array program made kernels of their own: runs of elementwise instructions, small loops."""
