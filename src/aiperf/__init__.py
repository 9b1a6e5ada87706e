"""aiperf: load-tests an OpenAI-compatible LLM inference endpoint and tells the truth about it."""

__version__ = "0.1.0"
