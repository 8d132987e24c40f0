"""The authors' training commands over our own: `python -m itp.training.train_adaptive_k label|sft|rl_k`.

An entry point like `itp.cli`, above everything else: it alone of this package may import the command line.
"""
