"""One OpenAI-compatible address in front of the engines. Start at `app.create_app`."""
