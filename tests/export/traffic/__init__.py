"""The development server under load, with faulty clients beside good ones."""
