"""The PyTorch files of the released code: their layouts, read and written."""
