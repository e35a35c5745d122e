"""What is wrong with a data set, apart from the libraries that build and open one."""


class DatasetError(ValueError):
    """A set cannot be built or opened; says what to change."""
