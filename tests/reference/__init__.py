"""PyTorch reference: AttnGAN written from the paper's equations.

It shares no code with the project. Its state dicts have the names and shapes
of the published files; its losses and training steps are the released code's.
"""
