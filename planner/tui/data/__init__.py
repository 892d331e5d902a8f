"""What the app asks of the world, one module per topic: functions that may block, plain values in and out.

No Textual here. Each is named by a field of `Services` and only ever called through `planner.tui.workers`. `services`
imports all of them at start, so what is heavy is imported inside the function that needs it.
"""
