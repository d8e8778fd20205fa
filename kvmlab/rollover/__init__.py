"""How often VMIDs run out, and what it costs.

Theory: `theory` and `zipf` (with `seen` and `subsets`) have the exact mathematics, `laws` that of each schedule.
Counting: `schedules` says who enters next, `simulate` finds the entries that flush, `measure` does so in the engine,
`allocators` sets Linux 3.9 beside 5.18. Many runs: `sweep` for tables, `survey` for pictures. `walks` and `cost` say
what a flush costs.
"""
