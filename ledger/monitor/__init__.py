"""Who looks after a log that others run: follows its checkpoints, reads all its entries, says what is wrong or of interest."""
