"""Rows of a journal as files of other formats: written block by block, with every value as it was logged."""
