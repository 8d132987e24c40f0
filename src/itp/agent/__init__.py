"""Lookahead for people who own their loop: `itp.Agent`.

situation (what a decision is asked about) -> models, build (from what a user gives to a planner)
-> batching (concurrent askers, one batch) -> agent -> session

The HTTP server, `itp.serve`, is built on it.
"""
