"""AttnGAN in TensorFlow."""
