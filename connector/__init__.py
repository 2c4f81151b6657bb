"""image-history: Amazon SageMaker image versions as a warehouse table with a history."""

__version__ = "0.1.0"
