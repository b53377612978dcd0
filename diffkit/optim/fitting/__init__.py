"""Training on batches: `fit`.

fit.py          the loop
batches.py      where batches come from, and in which order; examples.py: nests of arrays, and pieces of batches
program.py      a loss traced once a shape of batch, its gradient in buffers that stay; draws.py: random numbers as inputs of it
validation.py   losses and metrics on held-out data, the best parameters, when to stop
checkpoints.py  files from which a run goes on with the same bits
fingerprint.py  what tells runs apart that look alike; recovery.py: what a run that diverges goes back to, and what is to blame
history.py, result.py, progress.py   what is recorded, returned and shown
"""
