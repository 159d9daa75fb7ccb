"""Files: atomic writes, full disks, scratch folders, PNG with text."""
