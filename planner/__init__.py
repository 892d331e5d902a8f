"""Plan, fetch and run a private RAG stack on the hardware at hand."""

__version__ = "0.1.0"
