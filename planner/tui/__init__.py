"""Room: tui."""

import os

# Textual reads it when it is imported. A key is answered by two or three drawings one tick apart, and at the usual
# 60 ticks a second the waiting between them was most of the 50 ms until the last (docs/tui.md).
os.environ.setdefault("TEXTUAL_FPS", "120")
