"""Other packages' methods behind the same interface, to compare with."""
