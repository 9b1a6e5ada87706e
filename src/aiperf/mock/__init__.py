"""The built-in server of known latency: an OpenAI-compatible endpoint whose every send time is written down."""
